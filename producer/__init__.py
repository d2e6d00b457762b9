"""Puts requests into the landing folder, made up or from real logs. Needs no JVM."""
