"""Rules that a run must keep before anything is promoted, and what came of holding it against them."""
