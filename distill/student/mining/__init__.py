"""Intents in a route's traffic, and which of them are worth learning."""
