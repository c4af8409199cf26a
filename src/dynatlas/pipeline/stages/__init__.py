"""The computation of each job: read from the atlas, call the analyses, write, return the entries.

These functions run in worker processes. Each opens the atlas by its path, writes its files, and returns their entries;
only the main process enters them in the manifest (see ``pipeline.runner``). Results depend only on the study, not on
the worker, the order, or earlier jobs.
"""

from dynatlas.pipeline.stages.comparison import Tile as Tile
from dynatlas.pipeline.stages.comparison import compare_tile as compare_tile
from dynatlas.pipeline.stages.comparison import join_tiles as join_tiles
from dynatlas.pipeline.stages.comparison import tiles as tiles
from dynatlas.pipeline.stages.controls import controls as controls
from dynatlas.pipeline.stages.dynamics import dynamics as dynamics
from dynatlas.pipeline.stages.reduction import reduce_activity as reduce_activity
from dynatlas.pipeline.stages.reduction import reduce_findings as reduce_findings
from dynatlas.pipeline.stages.report import figures as figures
from dynatlas.pipeline.stages.report import page as page
from dynatlas.pipeline.stages.summaries import check_claims as check_claims
from dynatlas.pipeline.stages.summaries import embed as embed
from dynatlas.pipeline.stages.summaries import joined_tables as joined_tables
from dynatlas.pipeline.stages.summaries import sum_up as sum_up
from dynatlas.pipeline.stages.summaries import tables as tables
from dynatlas.pipeline.stages.training import search as search
from dynatlas.pipeline.stages.training import train as train
from dynatlas.pipeline.stages.training import tune as tune
