"""Answers that have been given before: inside which scope, by which rules, within which bounds."""
