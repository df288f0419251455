"""Which model answers: the policies of routes, and what they weigh."""
