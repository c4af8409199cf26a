"""The figures of the paper, each drawn from the panels of the single figures."""

from dynatlas.figures.paper.context_integration import context_integration as context_integration
from dynatlas.figures.paper.errors import errors as errors
from dynatlas.figures.paper.flip_flop import flip_flop as flip_flop
from dynatlas.figures.paper.measures import measures_compared as measures_compared
from dynatlas.figures.paper.sine_wave import sine_wave as sine_wave
from dynatlas.figures.paper.untrained import untrained as untrained
