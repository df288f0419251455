"""Better prompts, found offline: the only importer of dspy.

What is optimised is what is served: an optimiser's texts go through the prompt book's renderer, its questions
through a whole Weir in this process, and its answers are scored by a suite's own scorers.
"""
