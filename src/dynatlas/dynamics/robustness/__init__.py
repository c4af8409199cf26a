"""Robustness of attractors: their basins, and the smallest perturbation that leaves each."""
