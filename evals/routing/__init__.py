"""Routing evals: what a policy would have earned and cost on outcomes that were recorded."""
