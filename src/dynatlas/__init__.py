"""dynatlas: train populations of recurrent networks, find what each computes, map how alike they are."""

from dynatlas import cells as cells
from dynatlas import tasks as tasks
from dynatlas.analysis import analyze as analyze
from dynatlas.certificates import uniqueness as uniqueness
from dynatlas.cycles import find_attractors as find_attractors
from dynatlas.embedding import mds as mds
from dynatlas.errors import DynatlasError as DynatlasError
from dynatlas.fixed_points import FixedPoints as FixedPoints
from dynatlas.fixed_points import find_fixed_points as find_fixed_points
from dynatlas.geometry import distance as distance
from dynatlas.geometry import distance_matrix as distance_matrix
from dynatlas.geometry import register_measure as register_measure
from dynatlas.line_attractors import slow_manifold as slow_manifold
from dynatlas.linearization import linearize as linearize
from dynatlas.networks import Network as Network
from dynatlas.networks import read_network as read_network
from dynatlas.pipeline import run as run
from dynatlas.placement import place_recording as place_recording
from dynatlas.spectra import spectrum_distance as spectrum_distance
from dynatlas.statistics import permanova as permanova
from dynatlas.store import Atlas as Atlas
from dynatlas.study import Study as Study
from dynatlas.topology import transition_graph as transition_graph
