"""Measurements: the pipeline's work as whole processes, beside what a user would pick instead."""
