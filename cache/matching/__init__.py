"""Whether two questions mean the same: what is compared, what was learned of it, and how well it does."""
