"""The command line: one file per verb. Imports every room, imported by none."""
