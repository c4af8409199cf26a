"""Analysis of one network: fixed points, linear dynamics and attractors, as tables and as a page."""

from dynatlas.networks.analysis.analyze import Analysis as Analysis
from dynatlas.networks.analysis.analyze import analyze as analyze
from dynatlas.networks.analysis.page import page as page
from dynatlas.networks.analysis.page import write_folder as write_folder
