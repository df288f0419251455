"""What is left of budgets: counted in this process, or in a Redis that replicas share."""
