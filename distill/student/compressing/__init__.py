"""The student's weights in smaller forms, each a variant that must pass the gate by itself."""
