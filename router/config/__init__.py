"""The one YAML file that describes a Weir: its schema, how it is read, and its generated reference."""
