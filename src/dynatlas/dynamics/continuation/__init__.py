"""Continuation: branches of fixed points along a parameter, and their bifurcations."""
