"""Periodic points of a map, and Lyapunov exponents along its trajectories."""
