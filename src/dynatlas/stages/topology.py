"""The jobs that compare networks by what their fixed points form, and not by where their activity goes."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from dynatlas.graph_distances import Graph, frobenius_distances, fused_distances
from dynatlas.progress import Report
from dynatlas.stages.networks import stored_arrays
from dynatlas.stages.transitions import graph_of
from dynatlas.store import Atlas, Entry
from dynatlas.topology import neighbor_graph


def topology(path: Path, kind: str, report: Report) -> list[Entry]:
    """The distance matrices of a task's trained networks, from the graphs of their fixed points."""
    atlas = Atlas.open(path)
    compare = {
        "transition_graph": _transition_graphs,
        "fused_transition_graph": _fused_transition_graphs,
        "neighbor_graph": _command_chains if kind == "sine_wave" else _context_chains,
    }
    return [
        atlas.write_arrays(f"distances/{kind}/{measure}", compare[measure](atlas).rename("distance").to_dataset())
        for measure in atlas.study.task(kind).topology
    ]


def _transition_graphs(atlas: Atlas) -> xr.DataArray:
    """Frobenius distances between the graphs of the networks that have the modal number of roots."""
    searches = _parts(atlas, "searches", "flip_flop")
    modal = int(searches.n_roots.mode().max()) if len(searches) else 0
    edges = dict(iter(_parts(atlas, "transitions", "flip_flop").groupby("network")))
    graphs = {
        network: graph_of(edges[network], modal) for network in searches.network[searches.n_roots == modal] if modal
    }
    distances = frobenius_distances(graphs, "transition_graph")
    return distances.assign_attrs(left_out_reason=f"not the modal number of roots, {modal}")


def _fused_transition_graphs(atlas: Atlas) -> xr.DataArray:
    """Fused Gromov–Wasserstein distances, with the readouts as features: of all networks that have a root."""
    searches = _parts(atlas, "searches", "flip_flop")
    edges = dict(iter(_parts(atlas, "transitions", "flip_flop").groupby("network")))
    points = _parts(atlas, "fixed_points", "flip_flop")
    roots = dict(iter(points[~points.is_slow.astype(bool)].groupby("network"))) if len(points) else {}
    none = pd.DataFrame({"source": [], "target": [], "probability": []}, dtype=int)
    graphs = {
        network: Graph(graph_of(edges.get(network, none), count), np.stack(roots[network].readout.to_list()))
        for network, count in zip(searches.network, searches.n_roots, strict=True)
        if count
    }
    return fused_distances(graphs, "fused_transition_graph").assign_attrs(left_out_reason="no root")


def _command_chains(atlas: Atlas) -> xr.DataArray:
    """Frobenius distances between the neighbour graphs of the roots over the commands."""
    neighbors = min(atlas.study.analysis.neighbors, atlas.study.task("sine_wave").n_conditions - 1)
    graphs: dict[str, NDArray[np.float64]] = {}
    for block, arrays in stored_arrays(atlas, "sine_wave", "fixed_points"):
        place = pd.MultiIndex.from_arrays([arrays.network.values, arrays.condition.values, arrays.point.values])
        for network, rows in atlas.part("oscillations", block).groupby("network", sort=False):
            if (rows.point >= 0).all():
                keys = pd.MultiIndex.from_arrays([rows.network, rows.condition, rows.point])
                graphs[str(network)] = neighbor_graph(arrays.states.values[place.get_indexer(keys)], neighbors)
    return frobenius_distances(graphs, "neighbor_graph").assign_attrs(left_out_reason="no root under some command")


def _context_chains(atlas: Atlas) -> xr.DataArray:
    """Frobenius distances between the neighbour graphs along the slow manifolds, all contexts together."""
    settings = atlas.study.analysis
    neighbors = min(settings.neighbors, settings.manifold_points - 1)
    graphs: dict[str, NDArray[np.float64]] = {}
    for _, arrays in stored_arrays(atlas, "context_integration", "line_attractors"):
        for network in dict.fromkeys(arrays.network.values.tolist()):
            chains = arrays.states.values[arrays.network.values == network]
            graphs[network] = np.stack([neighbor_graph(chain, neighbors) for chain in chains])
    return frobenius_distances(graphs, "neighbor_graph").assign_attrs(left_out_reason="")


def _parts(atlas: Atlas, table: str, kind: str) -> pd.DataFrame:
    """A table of one task's networks, in the study's order."""
    return pd.concat([atlas.part(table, block) for block in atlas.study.blocks if block.task == kind])
