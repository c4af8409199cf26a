"""What each job of a run computes: read from the atlas, call the analyses, write, return the entries.

These functions run in worker processes. Each opens the atlas by its path, writes its own files, and returns their
entries; only the main process enters them in the manifest (see ``pipeline``). All results depend on the study alone:
not on the worker, the order, or what ran before.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from dynatlas.cells import Cell
from dynatlas.embedding import mds
from dynatlas.fixed_points import FixedPoints, find_fixed_points
from dynatlas.geometry import distance_matrix
from dynatlas.linearization import unstable_direction
from dynatlas.statistics import permanova
from dynatlas.store import Atlas, Entry
from dynatlas.study import Block, Member, Study
from dynatlas.tasks import FlipFlop, Task
from dynatlas.topology import canonical_order, graph_distance_matrix, transition_graph
from dynatlas.training import train_block

# What the outputs of the flip-flop are at an ideal fixed point; see ``canonical_order``.
FLIP_FLOP_VALUES = (-1.0, 0.0, 1.0)
# Probe trials drawn in the trajectory pictures: enough to see the structure, few enough to see through.
DRAWN_TRIALS = 24
# Starts of a search, however many conditions share a network's starts; it adds its own while its index sum is not 1.
FEWEST_STARTS = 64
FACTORS = ("architecture", "activation", "units", "l2")

Report = Callable[[int, float], None]


def train(path: Path, block: Block, report: Report) -> list[Entry]:
    """Train a block; write its weights, its rows of ``networks`` and of ``losses``."""
    atlas = Atlas.open(path)
    study = atlas.study
    members = study.blocks[block]
    task = study.task(block.task)
    result = train_block(task, members, lambda key: study.cell(block, key), report)
    weights = {f"cell/{name}": value for name, value in _arrays(result.cells).items()}

    networks, losses = [], []
    for row, member in enumerate(members):
        mse = float(result.validation_mse[row, -1])
        r2, diverged_at = float(result.r2[row]), int(result.diverged_at[row])
        reason = _failure(task, mse, r2, diverged_at)
        networks.append(
            _factors(member)
            | {"mse": mse, "r2": r2, "diverged_at": diverged_at, "passed": not reason, "reason": reason}
        )
        losses.append(
            pd.DataFrame(
                {
                    "network": member.id,
                    "iteration": result.iterations,
                    "training_loss": result.training_loss[row],
                    "validation_mse": result.validation_mse[row],
                }
            )
        )
    return [
        atlas.write_block(block, members, weights),
        atlas.write_part("networks", block, pd.DataFrame(networks)),
        atlas.write_part("losses", block, pd.concat(losses, ignore_index=True)),
    ]


def dynamics(path: Path, block: Block, report: Report) -> list[Entry]:
    """Fixed points of every trained network of a block under every condition, and its transition graph."""
    atlas = Atlas.open(path)
    study = atlas.study
    task = study.task(block.task)
    entries: list[Entry] = []
    searches: list[dict[str, Any]] = []
    rows: list[pd.DataFrame] = []
    transitions: list[pd.DataFrame] = []
    found: list[FixedPoints] = []
    for done, (member, trained) in enumerate(_trained(atlas, block)):
        cell = trained.astype(np.float64)
        conditions = _fixed_points(study, task, member, cell)
        found += conditions
        for condition, points in enumerate(conditions):
            searches.append(_search_row(member, task, condition, points))
            rows.append(_point_rows(member, condition, points, _readouts(cell, points)))
        if isinstance(task, FlipFlop):
            transitions.append(_transitions(study, member, cell, conditions[0]))
        if done == 0:  # the representative of its block
            entries.append(atlas.write_arrays(f"trajectories/{member.id}", _trajectories(task, cell, conditions)))
        report(done + 1, float("nan"))

    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    if len(table):
        entries.append(atlas.write_arrays(f"fixed_points/{block.name}", _point_arrays(table, found)))
    return [
        *entries,
        atlas.write_part("searches", block, pd.DataFrame(searches)),
        atlas.write_part("fixed_points", block, table),
        atlas.write_part(
            "transitions",
            block,
            pd.concat(transitions, ignore_index=True) if transitions else pd.DataFrame(),
        ),
    ]


def geometry(path: Path, kind: str, report: Report) -> list[Entry]:
    """The distance matrices of a task's trained networks, from their activity on the probe."""
    atlas = Atlas.open(path)
    study = atlas.study
    inputs = study.task(kind).probe().inputs
    activities: dict[str, NDArray[np.float64]] = {}
    for block in study.blocks:
        if block.task != kind:
            continue
        for member, cell in _trained(atlas, block):
            states, _ = _responses(cell, inputs)
            hidden = np.asarray(states, np.float64)[..., : cell.units]
            activities[member.id] = hidden.reshape(-1, cell.units)
    entries = []
    for measure in study.analysis.measures:
        options: dict[str, Any] = {}
        if measure == "svcca":
            options = {"variance": study.analysis.svcca_variance, "components": study.analysis.svcca_components}
        distances = distance_matrix(activities, measure, **options) if activities else _no_distances(measure)
        entries.append(atlas.write_arrays(f"distances/{kind}/{measure}", distances.rename("distance").to_dataset()))
    return entries


def tables(path: Path, report: Report) -> list[Entry]:
    """Join the blocks' parts, in the study's order."""
    atlas = Atlas.open(path)
    names = ("networks", "losses", "searches", "fixed_points", "transitions")
    return [atlas.write_table(name, atlas.join_parts(name)) for name in names]


def maps(path: Path, report: Report) -> list[Entry]:
    """The transition graphs' distances, then an embedding and the effects of every factor for every matrix."""
    atlas = Atlas.open(path)
    study = atlas.study
    networks = atlas.table("networks").set_index("network")
    embeddings, rows, effects, entries = [], [], [], []
    for task in study.tasks:
        trained = int((networks.passed & (networks.task == task.kind)).sum())
        matrices: dict[str, tuple[xr.DataArray, str]] = {
            measure: (atlas.arrays(f"distances/{task.kind}/{measure}")["distance"], "")
            for measure in study.analysis.measures
        }
        if isinstance(task, FlipFlop):
            distances, reason = _topology_distances(atlas)
            matrices["transition_graph"] = (distances, reason)
            entries.append(
                atlas.write_arrays(f"distances/{task.kind}/transition_graph", distances.rename("distance").to_dataset())
            )
        for measure, (distances, reason) in matrices.items():
            names = [str(name) for name in distances["network"].values]
            coordinates, stress = mds(distances) if names else (np.zeros((0, 2)), 0.0)
            embeddings.append(
                pd.DataFrame(
                    {
                        "task": task.kind,
                        "measure": measure,
                        "network": names,
                        "x": coordinates[:, 0],
                        "y": coordinates[:, 1],
                    }
                )
            )
            left_out = trained - len(names)
            rows.append(
                {
                    "task": task.kind,
                    "measure": measure,
                    "n_networks": len(names),
                    "n_left_out": left_out,
                    "left_out_reason": reason if left_out else "",
                    "stress": stress,
                }
            )
            effects += [
                {"task": task.kind, "measure": measure} | effect for effect in _effects(distances, networks.loc[names])
            ]
    columns = ["task", "measure", "factor", "r2", "p", "n_networks"]
    return [
        *entries,
        atlas.write_table("embeddings", pd.concat(embeddings, ignore_index=True)),
        atlas.write_table("maps", pd.DataFrame(rows)),
        atlas.write_table("effects", pd.DataFrame(effects, columns=columns)),
    ]


def page(path: Path, report: Report) -> list[Entry]:
    """The report's page."""
    from dynatlas.report import build_page

    atlas = Atlas.open(path)
    return [atlas.write_bytes(name, content) for name, content in build_page(atlas).items()]


def figures(path: Path, file_format: Literal["svg", "pdf", "png"], report: Report) -> list[Entry]:
    """All figures in one format."""
    from dynatlas.report import build_figures

    atlas = Atlas.open(path)
    return [atlas.write_bytes(name, content) for name, content in build_figures(atlas, [file_format]).items()]


def _arrays(cells: Cell) -> dict[str, NDArray[Any]]:
    """A cell's weights by the names of its fields."""
    leaves = jax.tree_util.tree_leaves_with_path(cells)
    return {path[0].name: np.asarray(leaf) for path, leaf in leaves}


def _factors(member: Member) -> dict[str, Any]:
    """The columns of ``networks`` that are known before training."""
    training = member.training.model_dump(exclude={"validation_trials", "validation_interval"})
    factors = ("task", "architecture", "activation", "units", "l2", "seed")
    return {"network": member.id, "name": member.name} | {name: getattr(member, name) for name in factors} | training


def _failure(task: Task, mse: float, r2: float, diverged_at: int) -> str:
    """Why a network is left out of analyses, or nothing."""
    if diverged_at >= 0:
        return f"diverged at iteration {diverged_at}"
    if task.passes(mse, r2):
        return ""
    measure, bound = task.threshold
    return f"MSE is not below {bound:g}" if measure == "mse" else f"R² is not above {bound:g}"


def _trained(atlas: Atlas, block: Block) -> Iterator[tuple[Member, Cell]]:
    """The block's members that passed, each with its network."""
    table = atlas.part("networks", block)
    passed = set(table.network[table.passed])
    cells = jax.tree.map(np.asarray, atlas.cells(block))
    for row, member in enumerate(atlas.study.blocks[block]):
        if member.id in passed:
            yield member, jax.tree.map(lambda leaf, row=row: leaf[row], cells)


@jax.jit
def _responses(cell: Cell, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """States and outputs of one network on a batch of trials."""
    return jax.vmap(cell.respond)(inputs)


def _fixed_points(study: Study, task: Task, member: Member, cell: Cell) -> list[FixedPoints]:
    """One search per condition, each from states that the network visits on the probe, plus noise."""
    settings = study.analysis
    conditions = np.asarray(task.conditions(), np.float64)
    starts = max(settings.fixed_point_starts // len(conditions), FEWEST_STARTS)
    found = []
    with jax.enable_x64(True):
        probe = np.asarray(task.probe().inputs, np.float64)
        states, _ = _responses(cell, jnp.asarray(probe))
        visited = np.asarray(states).reshape(-1, states.shape[-1])
        for condition, inputs in enumerate(conditions):
            key = jax.random.fold_in(member.key("analysis"), condition)
            row_key, noise_key, search_key = jax.random.split(key, 3)
            rows = np.asarray(jax.random.randint(row_key, (starts,), 0, len(visited), jnp.int32))
            noise = np.asarray(jax.random.normal(noise_key, (len(rows), visited.shape[1]), jnp.float64))
            points = find_fixed_points(
                cell,
                visited[rows] + settings.fixed_point_noise * noise,
                inputs,
                box=cell.box(jnp.asarray(inputs)),
                tol=settings.fixed_point_tolerance,
                slow_tol=settings.slow_point_tolerance,
                max_starts=settings.fixed_point_max_starts,
                key=search_key,
            )
            ideal = FLIP_FLOP_VALUES if isinstance(task, FlipFlop) else ()
            found.append(_in_canonical_order(points, _readouts(cell, points), ideal))
    return found


def _readouts(cell: Cell, points: FixedPoints) -> NDArray[np.float64]:
    """The network's output at each point."""
    hidden = points.states[:, : cell.units] if len(points) else np.zeros((0, cell.units))
    return np.asarray(hidden @ np.asarray(cell.readout_weights).T + np.asarray(cell.readout_bias), np.float64)


def _in_canonical_order(points: FixedPoints, readouts: NDArray[np.float64], ideal: Sequence[float]) -> FixedPoints:
    """Roots by readout, then slow points by readout."""
    if not len(points):
        return points
    order = canonical_order(readouts, ideal) if ideal else np.lexsort(readouts.T[::-1])
    return points.take(order[np.argsort(points.is_slow[order], kind="stable")])


def _transitions(study: Study, member: Member, cell: Cell, points: FixedPoints) -> pd.DataFrame:
    """The edges of one network's transition graph; roots come first, so their numbers are those of the table."""
    graph = transition_graph(
        cell,
        points.roots(),
        np.zeros(cell.input_weights.shape[1]),
        trials=study.analysis.transition_trials,
        scale=study.analysis.transition_scale,
        key=jax.random.fold_in(member.key("analysis"), 1_000_003),
    )
    source, target = np.nonzero(graph)
    return pd.DataFrame(
        {"network": member.id, "source": source, "target": target, "probability": graph[source, target]}
    )


def _search_row(member: Member, task: Task, condition: int, points: FixedPoints) -> dict[str, Any]:
    roots = points.roots()
    return {
        "network": member.id,
        "task": member.task,
        "condition": condition,
        "condition_name": task.condition_names()[condition],
        "n_roots": len(roots),
        "n_stable": int((roots.n_unstable == 0).sum()),
        "n_slow": int(points.is_slow.sum()),
        "index_sum": points.index_sum,
        "certificate": points.certificate,
        "n_starts": points.n_starts,
        "n_singletons": points.n_singletons,
        "rejected": json.dumps(points.rejected, sort_keys=True),
    }


def _point_rows(member: Member, condition: int, points: FixedPoints, readouts: NDArray[np.float64]) -> pd.DataFrame:
    leading = points.eigenvalues[:, 0] if len(points) else np.zeros(0, complex)
    return pd.DataFrame(
        {
            "network": member.id,
            "task": member.task,
            "condition": condition,
            "point": np.arange(len(points)),
            "q": points.q,
            "is_slow": points.is_slow,
            "n_unstable": points.n_unstable,
            "index": points.index,
            "hits": points.hits,
            "spectral_radius": np.abs(leading),
            "leading_angle": np.abs(np.angle(leading)),
            "readout": list(readouts),
        }
    )


def _point_arrays(table: pd.DataFrame, points: list[FixedPoints]) -> xr.Dataset:
    """States and spectra, row by row as in the table."""
    filled = [item for item in points if len(item)]
    return xr.Dataset(
        {
            "states": (("row", "state"), np.concatenate([item.states for item in filled])),
            "eigenvalues": (("row", "state"), np.concatenate([item.eigenvalues for item in filled])),
            "network": (("row",), table.network.to_numpy(str)),
            "condition": (("row",), table.condition.to_numpy()),
            "point": (("row",), table.point.to_numpy()),
        }
    )


def _trajectories(task: Task, cell: Cell, points: list[FixedPoints]) -> xr.Dataset:
    """One network's probe trials and fixed points in the plane of its first three principal components."""
    probe = task.probe()
    with jax.enable_x64(True):
        all_states, all_outputs = _responses(cell, jnp.asarray(np.asarray(probe.inputs, np.float64)))
    hidden = np.asarray(all_states)[..., : cell.units]
    flat = hidden.reshape(-1, cell.units)
    mean = flat.mean(axis=0)
    _, scale, axes = np.linalg.svd(flat - mean, full_matrices=False)
    axes = axes[:3] * np.sign(axes[:3].sum(axis=1, keepdims=True))
    if len(axes) < 3:
        axes = np.vstack([axes, np.zeros((3 - len(axes), cell.units))])
    share = np.zeros(3)
    share[: min(3, len(scale))] = (scale**2 / max((scale**2).sum(), 1e-300))[:3]

    drawn = np.unique(np.linspace(0, len(hidden) - 1, DRAWN_TRIALS).round().astype(int))
    conditions = np.asarray(task.conditions(), np.float64)
    directions = [
        unstable_direction(cell, state, conditions[condition])[: cell.units] @ axes.T
        for condition, found in enumerate(points)
        for state in found.states
    ]
    states = np.concatenate([found.states[:, : cell.units].reshape(-1, cell.units) for found in points])
    return xr.Dataset(
        {
            "trajectory": (("trial", "step", "component"), ((hidden[drawn] - mean) @ axes.T).astype(np.float32)),
            "variance_share": (("component",), share),
            "inputs": (("trial", "step", "input"), np.asarray(probe.inputs)[drawn]),
            "targets": (("trial", "step", "output"), np.asarray(probe.targets)[drawn]),
            "outputs": (("trial", "step", "output"), np.asarray(all_outputs, np.float32)[drawn]),
            "points": (("row", "component"), (states - mean) @ axes.T),
            "unstable_directions": (("row", "component"), np.array(directions).reshape(-1, 3)),
        }
    )


def _topology_distances(atlas: Atlas) -> tuple[xr.DataArray, str]:
    """Distances between the transition graphs of the networks that have the modal number of roots."""
    searches = atlas.table("searches")
    searches = searches[searches.task == "flip_flop"]
    if not len(searches):
        return _no_distances("transition_graph"), ""
    modal = int(searches.n_roots.mode().max())
    transitions = atlas.table("transitions")
    graphs = {}
    for network in searches.network[searches.n_roots == modal]:
        edges = transitions[transitions.network == network]
        graph = np.zeros((modal, modal))
        graph[edges.source, edges.target] = edges.probability
        graphs[network] = graph
    return graph_distance_matrix(graphs), f"not the modal number of roots, {modal}"


def _no_distances(measure: str) -> xr.DataArray:
    return graph_distance_matrix({}).rename(measure)


def _effects(distances: xr.DataArray, networks: pd.DataFrame) -> list[dict[str, Any]]:
    """PERMANOVA of every factor that varies, its labels permuted within the strata of the others."""
    varying = [factor for factor in FACTORS if networks[factor].nunique() > 1]
    effects = []
    for factor in varying:
        others = [other for other in varying if other != factor]
        strata = networks[others].astype(str).agg("/".join, axis=1).to_numpy() if others else None
        labels = networks[factor].astype(str).to_numpy()
        if strata is not None and not _permutable(labels, strata):
            continue
        if len(networks) <= len(set(labels)) or not np.any(distances.values):
            continue
        r2, p = permanova(distances, labels, strata)
        effects.append({"factor": factor, "r2": r2, "p": p, "n_networks": len(networks)})
    return effects


def _permutable(labels: NDArray[Any], strata: NDArray[Any]) -> bool:
    """Whether some stratum holds more than one label."""
    return any(len(set(labels[strata == stratum])) > 1 for stratum in set(strata))
