"""What more than one room asks of the operating system: children that are kept alive, locks, open files."""
