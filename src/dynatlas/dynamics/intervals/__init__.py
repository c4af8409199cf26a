"""Interval arithmetic, and what it proves of fixed points."""
