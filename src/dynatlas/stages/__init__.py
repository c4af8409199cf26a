"""What each job of a run computes: read from the atlas, call the analyses, write, return the entries.

These functions run in worker processes. Each opens the atlas by its path, writes its own files, and returns their
entries; only the main process enters them in the manifest (see ``pipeline``). All results depend on the study alone:
not on the worker, the order, or what ran before.
"""

from dynatlas.stages.comparison import Tile as Tile
from dynatlas.stages.comparison import compare_tile as compare_tile
from dynatlas.stages.comparison import join_tiles as join_tiles
from dynatlas.stages.comparison import tiles as tiles
from dynatlas.stages.controls import controls as controls
from dynatlas.stages.dynamics import dynamics as dynamics
from dynatlas.stages.geometry import reduce_activity as reduce_activity
from dynatlas.stages.maps import check_claims as check_claims
from dynatlas.stages.maps import embed as embed
from dynatlas.stages.maps import joined_tables as joined_tables
from dynatlas.stages.maps import sum_up as sum_up
from dynatlas.stages.maps import tables as tables
from dynatlas.stages.report import figures as figures
from dynatlas.stages.report import page as page
from dynatlas.stages.topology import reduce_findings as reduce_findings
from dynatlas.stages.training import search as search
from dynatlas.stages.training import train as train
from dynatlas.stages.training import tune as tune
