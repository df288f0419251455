"""Scorers, one in each file: what they need of a case, and how they judge an answer."""
