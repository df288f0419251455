"""What can be asked: any OpenAI-compatible address, or a whole Weir in this process."""
