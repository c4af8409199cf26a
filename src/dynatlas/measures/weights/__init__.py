"""Measures of weights: from the parameters of a network, up to a reordering of its units."""
