"""What a student's weights answer, in the engine that will serve them."""
