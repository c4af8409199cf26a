"""Figures of results of ``dynatlas.dynamics``, drawn from the results themselves."""
