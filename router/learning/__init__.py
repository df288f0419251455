"""What is written down of a route's traffic for its router to learn from: questions, and how good answers were."""
