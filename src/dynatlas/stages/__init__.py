"""What each job of a run computes: read from the atlas, call the analyses, write, return the entries.

These functions run in worker processes. Each opens the atlas by its path, writes its own files, and returns their
entries; only the main process enters them in the manifest (see ``pipeline``). All results depend on the study alone:
not on the worker, the order, or what ran before.
"""

from dynatlas.stages.comparison import geometry as geometry
from dynatlas.stages.comparison import joined_tables as joined_tables
from dynatlas.stages.comparison import maps as maps
from dynatlas.stages.comparison import tables as tables
from dynatlas.stages.dynamics import dynamics as dynamics
from dynatlas.stages.report import figures as figures
from dynatlas.stages.report import page as page
from dynatlas.stages.topology import topology as topology
from dynatlas.stages.training import search as search
from dynatlas.stages.training import train as train
from dynatlas.stages.training import tune as tune
