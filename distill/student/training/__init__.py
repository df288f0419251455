"""The train stage: runs in an environment of its own that has torch, and needs nothing of Weir but this package."""
