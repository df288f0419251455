"""What caches tell each other and their own next start: changes, who carries them, and the snapshot."""
