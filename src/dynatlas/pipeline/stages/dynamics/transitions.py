"""Transition graphs of networks under one static input, as rows of tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynatlas.cells.cell import Cell
from dynatlas.dynamics.graphs import transition_graph
from dynatlas.dynamics.points import FixedPoints
from dynatlas.measures.graphs import frobenius_distance
from dynatlas.study.members import Member
from dynatlas.study.study import Study


def transitions(
    study: Study, member: Member, cell: Cell, points: FixedPoints, inputs: NDArray[np.float64]
) -> pd.DataFrame:
    """Return the edges of one network's graph; roots come first, numbered as in the table."""
    graph = _graph(study, member, cell, points, inputs, study.analysis.transition_scale)
    source, target = np.nonzero(graph)
    return pd.DataFrame(
        {"network": member.id, "source": source, "target": target, "probability": graph[source, target]}
    )


def graph_of(edges: pd.DataFrame, nodes: int) -> NDArray[np.float64]:
    """Return the matrix of a network's edges."""
    graph = np.zeros((nodes, nodes))
    graph[edges.source, edges.target] = edges.probability
    return graph


def transition_sensitivity(
    study: Study,
    member: Member,
    cell: Cell,
    points: FixedPoints,
    edges: pd.DataFrame,
    inputs: NDArray[np.float64],
) -> pd.DataFrame:
    """Return the distances of the graphs at other displacements from the graph at the study's displacement."""
    own = graph_of(edges, len(points.roots()))
    graphs = {study.analysis.transition_scale: own} | {
        scale: _graph(study, member, cell, points, inputs, scale) for scale in study.analysis.sensitivity_scales
    }
    return pd.DataFrame(
        {
            "network": member.id,
            "scale": scale,
            "distance": frobenius_distance(graph, own),
            "lost": float(1 - graph.sum(axis=1).mean()) if len(graph) else 0.0,
        }
        for scale, graph in sorted(graphs.items())
    )


def _graph(
    study: Study, member: Member, cell: Cell, points: FixedPoints, inputs: NDArray[np.float64], scale: float
) -> NDArray[np.float64]:
    with jax.enable_x64(True):
        step = cell.under(jnp.asarray(inputs))
    return transition_graph(
        step,
        points.roots(),
        np.zeros(0),
        trials=study.analysis.transition_trials,
        scale=scale,
        key=jax.random.fold_in(member.key("analysis"), 1_000_003),
    )
