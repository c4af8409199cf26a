"""Measures of representational geometry: from activity on the same samples."""
