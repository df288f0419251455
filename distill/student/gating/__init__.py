"""Whether a student may serve, what it may answer, and how sure it must be."""
