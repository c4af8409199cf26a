"""Jobs that reduce a block's networks for each measure, and for the controls."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from dynatlas._util.selection import even_selection
from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.atlas.networks import agreed_measure, trained
from dynatlas.cells.responses import probe_activity
from dynatlas.cells.symmetries.unit_weights import unit_weights
from dynatlas.dynamics.graphs import neighbor_graph
from dynatlas.measures.activity import centred
from dynatlas.measures.behavior import error_profile
from dynatlas.measures.description import describe
from dynatlas.measures.distances import reduced
from dynatlas.measures.dynamics.robustness import typical_size
from dynatlas.measures.findings import (
    EIGENVALUES,
    ERRORS,
    FINDING_MEASURES,
    NEIGHBORS,
    PERTURBATIONS,
    TRANSITIONS,
    WEIGHTS,
    Finding,
)
from dynatlas.measures.pairs import Reduced
from dynatlas.measures.spectra import pack
from dynatlas.pipeline.progress import Report
from dynatlas.pipeline.stages.dynamics.transitions import graph_of
from dynatlas.study.members import Block, Member
from dynatlas.study.study import Study


def count_components(path: Path, block: Block, report: Report) -> list[Entry]:
    """Count the components that each trained network of a block needs, for the measures that agree on a number."""
    atlas = Atlas.open(path)
    measures = {name: atlas.study.measure(name) for name in atlas.study.analysis.agreeing}
    inputs = atlas.study.task(block.task).probe().inputs
    rows = []
    for member, cell in trained(atlas, block):
        activity = centred(probe_activity(cell, inputs), member.name)
        for name, measure in measures.items():
            count = measure.components_of(activity)
            rows.append({"network": member.id, "task": block.task, "measure": name, "n_components": count})
    return [atlas.write_part("components", block, pd.DataFrame(rows))]


def reduce_activity(path: Path, block: Block, report: Report) -> list[Entry]:
    """Reduce the activity of a block's trained networks on the probe, for every measure.

    For networks of the controls, also reduce their activity on half of the trials, in shuffled order, and before
    training, keyed by the network's id and the version's name.
    """
    atlas = Atlas.open(path)
    measures = {name: agreed_measure(atlas, block.task, name) for name in atlas.study.analysis.activity_measures}
    probe = atlas.study.task(block.task).probe()
    inputs, of_trials = probe.inputs, np.asarray(probe.inputs)
    variables = np.concatenate([np.asarray(part, np.float64) for part in probe], axis=-1)
    variables = variables.reshape(-1, variables.shape[-1])
    controlled = set(controlled_members(atlas.study, block.task))
    has_untrained = atlas.study.population.untrained_controls
    before = dict(trained(atlas, block, untrained=True)) if has_untrained else {}
    kept: dict[str, dict[str, Reduced]] = {name: {} for measure in measures for name in (measure, controls_of(measure))}
    rows = []
    for member, cell in trained(atlas, block):
        activity = probe_activity(cell, inputs)
        rows.append({"network": member.id, "task": block.task} | describe(activity, variables))
        for name, measure in measures.items():
            kept[name][member.id] = reduced(activity, member.name, measure, of_trials)
        if member in controlled:
            untrained = probe_activity(before[member], inputs) if member in before else None
            for version, other, given in _versions(member, activity, untrained, of_trials):
                for name, measure in measures.items():
                    of_version = reduced(other, f"{member.name} ({version})", measure, given)
                    kept[controls_of(name)][f"{member.id} {version}"] = of_version
    entries = [atlas.write_reduced(name, block, networks) for name, networks in kept.items()]
    return [*entries, atlas.write_part("activity", block, pd.DataFrame(rows))]


def controlled_members(study: Study, task: str) -> list[Member]:
    """Select a task's members evenly; those of them that pass make the controls."""
    return even_selection(study.members_of(task), study.analysis.control_networks)


def controls_of(measure: str) -> str:
    """Return the name under which a measure's controls are stored."""
    return f"{measure}-controls"


def _versions(
    member: Member,
    activity: Float[np.ndarray, "samples units"],
    untrained: Float[np.ndarray, "samples units"] | None,
    inputs: Float[np.ndarray, "trials steps inputs"],
) -> Iterator[tuple[str, Float[np.ndarray, "some_samples units"], Float[np.ndarray, "some_trials steps inputs"]]]:
    """Yield versions of a network's activity with their inputs: halves of the trials, shuffled, and before training."""
    trials = activity.reshape(*inputs.shape[:2], activity.shape[1])
    yield "even", trials[::2].reshape(-1, activity.shape[1]), inputs[::2]
    yield "odd", trials[1::2].reshape(-1, activity.shape[1]), inputs[1::2]
    yield "shuffled", np.random.default_rng(int(member.id, 16)).permutation(activity), inputs
    if untrained is not None:
        yield "untrained", untrained, inputs


def reduce_findings(path: Path, block: Block, report: Report) -> list[Entry]:
    """Write the graphs, spectra, errors and weights of a block's trained networks, omitting networks without any."""
    atlas = Atlas.open(path)
    return [
        atlas.write_reduced(measure, block, _READERS[FINDING_MEASURES[measure].finding](atlas, block))
        for measure in atlas.study.finding_measures(block.task)
    ]


def _transition_graphs(atlas: Atlas, block: Block) -> dict[str, Reduced]:
    """Return the edges of every network with a root, and its roots' readouts as node features."""
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
    """Return the neighbour graphs along the line that a task's points form."""
    oscillates = "oscillation" in atlas.study.task(block.task).computations
    return _frequency_chains(atlas, block) if oscillates else _integral_chains(atlas, block)


def _frequency_chains(atlas: Atlas, block: Block) -> dict[str, Reduced]:
    """Return the neighbour graph over conditions of every network with a root under each of them."""
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


def _integral_chains(atlas: Atlas, block: Block) -> dict[str, Reduced]:
    """Return the neighbour graphs along the slow manifolds [contexts, points, points]."""
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
    """Return the eigenvalues at all roots and slow points of each condition, if every condition has some."""
    if not atlas.has(f"arrays.zarr/fixed_points/{block.name}"):
        return {}
    conditions = atlas.study.task(block.task).n_conditions
    arrays = atlas.arrays(f"fixed_points/{block.name}")
    spectra: dict[str, Reduced] = {}
    for network in dict.fromkeys(arrays.network.values.tolist()):
        at = [(arrays.network.values == network) & (arrays.condition.values == number) for number in range(conditions)]
        if all(rows.any() for rows in at):
            spectra[network] = pack([arrays.eigenvalues.values[rows].ravel() for rows in at])
    return spectra


def _error_profiles(atlas: Atlas, block: Block) -> dict[str, Reduced]:
    """Return the errors of every network under all variations, in the order of the study."""
    behavior = atlas.part("behavior", block)
    return {
        str(network): {"profile": error_profile(rows.error)}
        for network, rows in behavior.groupby("network", sort=False)
    }


def _typical_sizes(atlas: Atlas, block: Block) -> dict[str, Reduced]:
    """Return the typical relative size of perturbations that leave the attractors of each network with several."""
    rows = atlas.part("robustness", block)
    sizes = {str(network): typical_size(of.relative_size) for network, of in rows.groupby("network", sort=False)}
    return {network: {"size": np.array(size)} for network, size in sizes.items() if np.isfinite(size)}


def _weights(atlas: Atlas, block: Block) -> dict[str, Reduced]:
    """Return the weights of every network whose units can be reordered."""
    found: dict[str, Reduced] = {}
    for member, cell in trained(atlas, block):
        try:
            found[member.id] = unit_weights(cell)
        except ValueError:  # of a user-defined cell; the matrix counts these networks
            return {}
    return found


_READERS: dict[Finding, Callable[[Atlas, Block], dict[str, Reduced]]] = {
    TRANSITIONS: _transition_graphs,
    NEIGHBORS: _chains,
    EIGENVALUES: _spectra,
    ERRORS: _error_profiles,
    PERTURBATIONS: _typical_sizes,
    WEIGHTS: _weights,
}
