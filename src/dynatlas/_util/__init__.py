"""Helpers for every package: arrays, messages, text and HTML representations, CPU cores."""
