"""Documents that answers are built on: files in, passages with their places out."""
