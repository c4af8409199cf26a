"""Statistics of distance matrices: effects of factors, maps, intervals, and verdicts on claims."""
