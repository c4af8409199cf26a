"""Figures of training: errors, and how a solution forms."""
