"""A run: the jobs of a study, in order, on the workers of a cluster."""
