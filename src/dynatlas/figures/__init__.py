"""Print figures from stored tables. The functions only select, count and average."""

from dynatlas.figures.catalogue import Plots as Plots
from dynatlas.figures.catalogue import pictures as pictures
from dynatlas.figures.catalogue import save_all as save_all
from dynatlas.figures.counts import fixed_point_counts as fixed_point_counts
from dynatlas.figures.distances import distance_map as distance_map
from dynatlas.figures.distances import effects as effects
from dynatlas.figures.line_attractors import line_attractors as line_attractors
from dynatlas.figures.oscillations import oscillation_frequencies as oscillation_frequencies
from dynatlas.figures.state_spaces import trajectories as trajectories
from dynatlas.figures.style import render as render
from dynatlas.figures.training.performance import loss_curves as loss_curves
from dynatlas.figures.training.performance import performance as performance
from dynatlas.figures.transition_graphs import transition_graphs as transition_graphs
from dynatlas.figures.trial import trial_figure as trial_figure
