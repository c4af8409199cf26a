"""Formats of recordings: each file reads one, or names its axes, labels and units."""
