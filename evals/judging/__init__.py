"""Models as judges: what they are asked, how their replies are read, and whom they must not judge."""
