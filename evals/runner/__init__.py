"""Asking every case and scoring the answers: at a pace, within a sum, and so that nothing paid for is lost."""
