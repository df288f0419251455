"""What a student learns from, and what it is tuned and tested on."""
