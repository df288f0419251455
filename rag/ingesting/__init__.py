"""From bytes to what a store takes over: read and cut in a child, encoded here, put in one step."""
