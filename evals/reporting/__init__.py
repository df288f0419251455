"""Runs and comparisons for people: on a terminal, and as pages that stand for themselves."""
