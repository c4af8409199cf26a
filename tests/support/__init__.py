"""Shared test support: tiny studies, synthetic atlases, processes, known networks."""
