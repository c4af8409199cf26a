"""What one network computes, as tables and as a page."""

from dynatlas.analysis.analyze import Analysis as Analysis
from dynatlas.analysis.analyze import analyze as analyze
from dynatlas.analysis.folder import write_folder as write_folder
from dynatlas.analysis.page import page as page
