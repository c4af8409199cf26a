"""Stages about how stable attractors are."""
