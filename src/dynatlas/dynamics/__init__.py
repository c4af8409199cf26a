"""Dynamics of a step function: fixed points with a certificate, linearisation, transition graphs, attractors."""
