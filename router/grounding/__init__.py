"""What becomes of passages: into a model's prompt, and out of its answer as citations."""
