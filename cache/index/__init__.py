"""The nearest stored questions of each scope, in memory: flat while few, inverted lists when many."""
