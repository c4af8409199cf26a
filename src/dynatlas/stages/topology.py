"""The job that reduces a block's networks to graphs and spectra: what their fixed points form."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from dynatlas.members import Block
from dynatlas.pairs import Reduced
from dynatlas.progress import Report
from dynatlas.spectra import quantiles
from dynatlas.stages.transitions import graph_of
from dynatlas.store import Atlas, Entry
from dynatlas.tasks import SineWave
from dynatlas.topology import neighbor_graph


def reduce_findings(path: Path, block: Block, report: Report) -> list[Entry]:
    """Write the graphs and spectra of a block's trained networks; those that have none are left out."""
    atlas = Atlas.open(path)
    return [
        atlas.write_reduced(measure, block, _READERS[measure](atlas, block))
        for measure in atlas.study.task(block.task).topology
    ]


def _transition_graphs(atlas: Atlas, block: Block) -> dict[str, Reduced]:
    """Of every network that has a root: its edges, and its roots' readouts as the nodes' features."""
    edges = dict(iter(atlas.part("transitions", block).groupby("network")))
    points = atlas.part("fixed_points", block)
    none = pd.DataFrame({"source": [], "target": [], "probability": []}, dtype=int)
    return {
        str(network): {
            "edges": graph_of(edges.get(network, none), len(roots)),
            "features": np.stack(roots.readout.to_list()),
        }
        for network, roots in points[~points.is_slow.astype(bool)].groupby("network", sort=False)
    }


def _chains(atlas: Atlas, block: Block) -> dict[str, Reduced]:
    """The neighbour graphs along what a task's points form; only these two tasks have such a line."""
    is_sine = isinstance(atlas.study.task(block.task), SineWave)
    return _command_chains(atlas, block) if is_sine else _context_chains(atlas, block)


def _command_chains(atlas: Atlas, block: Block) -> dict[str, Reduced]:
    """The neighbour graph of the roots over the commands, of every network that has one under each of them."""
    if not atlas.has(f"arrays.zarr/fixed_points/{block.name}"):
        return {}
    neighbors = min(atlas.study.analysis.neighbors, atlas.study.task(block.task).n_conditions - 1)
    arrays = atlas.arrays(f"fixed_points/{block.name}")
    place = pd.MultiIndex.from_arrays([arrays.network.values, arrays.condition.values, arrays.point.values])
    graphs: dict[str, Reduced] = {}
    for network, rows in atlas.part("oscillations", block).groupby("network", sort=False):
        if (rows.point >= 0).all():
            keys = pd.MultiIndex.from_arrays([rows.network, rows.condition, rows.point])
            graphs[str(network)] = {"edges": neighbor_graph(arrays.states.values[place.get_indexer(keys)], neighbors)}
    return graphs


def _context_chains(atlas: Atlas, block: Block) -> dict[str, Reduced]:
    """The neighbour graphs along the slow manifolds [contexts, points, points]."""
    if not atlas.has(f"arrays.zarr/line_attractors/{block.name}"):
        return {}
    settings = atlas.study.analysis
    neighbors = min(settings.neighbors, settings.manifold_points - 1)
    arrays = atlas.arrays(f"line_attractors/{block.name}")
    graphs: dict[str, Reduced] = {}
    for network in dict.fromkeys(arrays.network.values.tolist()):
        chains = arrays.states.values[arrays.network.values == network]
        graphs[network] = {"edges": np.stack([neighbor_graph(chain, neighbors) for chain in chains])}
    return graphs


def _spectra(atlas: Atlas, block: Block) -> dict[str, Reduced]:
    """The eigenvalues at all points of each condition, roots and slow ones, where every condition has some."""
    if not atlas.has(f"arrays.zarr/fixed_points/{block.name}"):
        return {}
    conditions = atlas.study.task(block.task).n_conditions
    arrays = atlas.arrays(f"fixed_points/{block.name}")
    spectra: dict[str, Reduced] = {}
    for network in dict.fromkeys(arrays.network.values.tolist()):
        at = [(arrays.network.values == network) & (arrays.condition.values == number) for number in range(conditions)]
        if all(rows.any() for rows in at):
            spectra[network] = {"quantiles": np.stack([quantiles(arrays.eigenvalues.values[rows]) for rows in at])}
    return spectra


_READERS: dict[str, Callable[[Atlas, Block], dict[str, Reduced]]] = {
    "transition_graph": _transition_graphs,
    "fused_transition_graph": _transition_graphs,
    "neighbor_graph": _chains,
    "spectrum": _spectra,
}
