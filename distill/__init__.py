"""Offline learning: outcomes become heads, which are evaluated, gated and promoted."""
