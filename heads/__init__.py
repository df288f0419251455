"""Small learned heads, evaluated with numpy alone: what is learned offline and used in the server."""
