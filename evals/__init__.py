"""Suites, scorers and runs: which model, prompt or route is good enough, and is the difference real?"""
