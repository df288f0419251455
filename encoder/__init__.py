"""Short texts to vectors of length one, on one core and beside the server."""
