"""Artefacts by the hash of their content, the aliases that name them, and the log of every change."""
