"""Merges what has landed into the lake's tables, and keeps them tidy."""
