"""Measures of dynamics: from activity over time."""
