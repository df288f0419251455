"""The student: from a tenant's own traffic to a gated, cheaper local model; a module or package for each stage."""
