"""Usage events, keys and prices: what was used, by whom, and what it cost."""
