"""The report: one page, written from stored tables."""
