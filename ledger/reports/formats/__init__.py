"""A report written out: one file for each format, and one for how a value is written in all of them."""
