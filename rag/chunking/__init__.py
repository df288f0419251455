"""A document's text cut into chunks where its author paused."""
