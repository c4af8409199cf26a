"""Dynamics of one step function: fixed points with a certificate, linearisation, graphs, attractors."""
