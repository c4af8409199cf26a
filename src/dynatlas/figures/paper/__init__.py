"""Figures of the paper, composed of the panels of the single figures."""

from dynatlas.figures.paper.errors import errors as errors
from dynatlas.figures.paper.integration import integration as integration
from dynatlas.figures.paper.measures import measures_compared as measures_compared
from dynatlas.figures.paper.memory import memory as memory
from dynatlas.figures.paper.oscillation import oscillation as oscillation
from dynatlas.figures.paper.untrained import untrained as untrained
