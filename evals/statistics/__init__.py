"""How sure a figure is, and whether two of them differ. Each formula names its source."""
