"""The report: one page, built from stored tables."""
