"""The server: the path of a request, from a client's bytes to an upstream's and back."""
