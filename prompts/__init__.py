"""The prompt book and its renderer: what a route's system prompt does to a request. No I/O while serving."""
