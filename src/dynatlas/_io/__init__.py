"""Atomic writes, and readers for files that may be hostile."""
