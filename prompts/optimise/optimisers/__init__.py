"""Ways of searching, one module each."""
