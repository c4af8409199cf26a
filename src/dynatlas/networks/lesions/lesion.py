"""Remove units, modes or input channels of a network, and measure its error and its fixed points after each."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, SupportsIndex

import jax
import numpy as np
import pandas as pd
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike, NDArray

from dynatlas._io.targets import Results
from dynatlas._io.targets import write_folder as write_results
from dynatlas._util.arrays import generator, key_or_default
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas._util.messages import count_of
from dynatlas.cells.architectures import StagedCell
from dynatlas.cells.cell import Cell
from dynatlas.dynamics.fixed_points import find_fixed_points
from dynatlas.dynamics.points import FixedPoints
from dynatlas.errors import NetworkError
from dynatlas.networks.analysis.starts import random_trials, starts_for, starts_in, visited_states
from dynatlas.networks.layouts.pytrees import network_of_cell
from dynatlas.networks.lesions.errors import errors_of, outputs_of
from dynatlas.networks.lesions.removals import Masks, Removal, masks_of, network_with, removals_of
from dynatlas.networks.network import Network
from dynatlas.tasks.task import Trial
from dynatlas.training.variations import target_variance

MAX_STARTS: Final = 4096
MAX_SECONDS: Final = 20.0
VISITED_TRIALS: Final = 64  # around whose states a search starts
SHOWN: Final = 3  # lesions in the summary


@dataclass(frozen=True, eq=False, repr=False)
class Lesions(SummaryRepr):
    """Lesions of one network.

    Attributes:
        table: a row for the intact network and for each lesion: ``lesion``, ``kind``, ``removed`` (numbers of units,
            modes or channels), ``mse``, ``error`` (the mse as a share of the variance of the targets), and with fixed
            points ``n_roots``, ``n_stable``, ``n_slow``, ``index_sum``, ``certificate``, ``certificate_reason``,
            ``n_starts`` and ``spectral_radius`` (the largest |λ| over the stable fixed points; over the roots with the
            fewest unstable directions if none is stable).
        fixed_points: of the network after each row's lesion; empty if none were searched for.
        compared: what the error is of.
    """

    table: pd.DataFrame
    fixed_points: tuple[FixedPoints, ...]
    compared: str

    def _summary(self) -> Summary:
        intact, lesions = self.table.iloc[0], self.table.iloc[1:]
        rows = [("error", self.compared), ("intact", _facts(intact))]
        worst = lesions.sort_values("error", ascending=False, kind="stable").head(SHOWN)
        rows += [(str(row["lesion"]), _facts(row)) for _, row in worst.iterrows()]
        if len(lesions) > SHOWN:
            rows.append((f"and {len(lesions) - SHOWN} more", "less harmful, in the table"))
        if self.fixed_points and len(lesions):
            same = int((lesions.n_roots == intact.n_roots).sum())
            rows.append(("fixed points", f"as many as in the intact network after {same} of {len(lesions)} lesions"))
        return Summary(f"{count_of(len(lesions), 'lesion')}, the most harmful first", tuple(rows))


def lesion(
    network: Network | Cell,
    *,
    units: SupportsIndex | Iterable[object] | None = None,
    modes: SupportsIndex | Iterable[object] | None = None,
    channels: SupportsIndex | Iterable[object] | None = None,
    trials: Trial | ArrayLike | None = None,
    condition: ArrayLike | None = None,
    fixed_points: bool = True,
    max_starts: int = MAX_STARTS,
    max_seconds: float | None = MAX_SECONDS,
    key: PRNGKeyArray | None = None,
) -> Lesions:
    """Silence units, remove modes and input channels of a network; measure the error and the fixed points after each.

    A silenced unit has all its state variables held at 0. A removed mode is a term of the singular value decomposition
    of the recurrent weights, W − σ_k u_k v_kᵀ, over the stacked gates of a gated cell. A removed channel has input
    weights of 0. Without ``units``, ``modes`` and ``channels`` each of them is removed once.

    Args:
        network: a network from ``read_network``, ``Network(step=…)``, or a cell, as of ``Atlas.network``.
        units: numbers of units to silence, one or a group for each lesion: ``[0, 3, (4, 5)]`` are three lesions, and
            ``0`` alone is one.
        modes: numbers of modes to remove, by descending singular value; one or a group for each lesion.
        channels: numbers of input channels to remove; one or a group for each lesion.
        trials: a ``Trial`` of a task, such as ``task.trials(key, 256)``: the error is that on its targets. Or inputs
            [trials, steps, m], by default random ones: the error is the deviation from the outputs of the intact
            network, or from its states if it has no readout. A cell starts from its initial state, a network from 0.
        condition: the static input [m] under which fixed points are searched for; by default 0.
        fixed_points: whether to search for fixed points.
        max_starts: budget of starts of each search.
        max_seconds: budget of processor time of each search, or None.
        key: the random key; by default that of the seed 0.

    Raises:
        ValueError: units, modes or channels that the network does not have, shapes that do not fit it, or a
            negative budget.

    Example:
        Three independent bistable units have 27 fixed points; with one of them silent they have 9.

        >>> import jax.numpy as jnp
        >>> switches = Network(lambda h, x: jnp.tanh(2 * h + x), n_states=3, n_inputs=3, bounds=lambda x: (-1, 1))
        >>> lesion(switches, units=[0, (1, 2)]).table[["lesion", "n_roots", "certificate"]]
                 lesion  n_roots certificate
        0        intact       27    complete
        1       unit h0        9    complete
        2  units h1, h2        3    complete
    """
    key = key_or_default(key)
    if max_starts < 1:
        raise ValueError(f"max_starts is {max_starts}; expected at least 1")
    if max_seconds is not None and not max_seconds >= 0:
        raise ValueError(f"max_seconds is {max_seconds}; expected 0 or more seconds, or None")
    network, initial = _checked(network, trials, condition)
    trial_key, search_key = jax.random.split(key)
    removals = removals_of(network, units, modes, channels)
    masks = masks_of(network, removals)
    drawn, compared = _targets(network, trials, initial, generator(trial_key))
    mse = errors_of(network, masks, drawn, initial)
    variance = target_variance(drawn)
    table = pd.DataFrame(
        {
            "lesion": [each.name for each in removals],
            "kind": [each.kind for each in removals],
            "removed": [", ".join(map(str, each.members)) for each in removals],
            "mse": mse,
            "error": mse / variance if variance else np.where(mse > 0, np.inf, 0.0),
        }
    )
    if not fixed_points:
        return Lesions(table, (), compared)
    static = np.zeros(network.n_inputs) if condition is None else np.asarray(condition, np.float64)
    found = []
    for number, (removal, one) in enumerate(zip(removals, _each(masks), strict=True)):
        search = (static, max_starts, max_seconds, jax.random.fold_in(search_key, number))
        found.append(_search(network_with(network, one), removal, np.asarray(drawn.inputs), initial, *search))
    return Lesions(table.assign(**_columns(found)), tuple(found), compared)


def results_of(title: str) -> Results:
    """Return what a folder's record says of the lesions of a network."""
    return Results("lesions", {"network": title}, NetworkError)


def write_folder(lesions: Lesions, folder: Path, title: str, *, replaces_any: bool = True) -> Path:
    """Write the table into a folder as CSV and Parquet, and return the path of the CSV.

    Args:
        lesions: the lesions.
        folder: the folder: missing, empty, or with earlier lesions.
        title: name of the network.
        replaces_any: also replace the lesions of another network.

    Raises:
        NetworkError: the folder holds something else, an edited file would be replaced, or it cannot be written.
    """

    def write(stage: Path) -> None:
        lesions.table.to_csv(stage / "lesions.csv", index=False)
        lesions.table.to_parquet(stage / "lesions.parquet", index=False)

    return write_results(folder, results_of(title), write, replaces_any=replaces_any) / "lesions.csv"


def _checked(
    network: Network | Cell, trials: Trial | ArrayLike | None, condition: ArrayLike | None
) -> tuple[Network, NDArray[np.float64]]:
    """Return the network and its initial state; check the shapes of what is given."""
    inputs = trials.inputs if isinstance(trials, Trial) else trials
    initial: Any = None
    if isinstance(network, Cell):
        given = np.shape(inputs if inputs is not None else [] if condition is None else condition)
        n_inputs = network.input_weights.shape[1] if isinstance(network, StagedCell) else given[-1]
        initial, network = np.asarray(network.initial_state, np.float64), network_of_cell(network, n_inputs)
    for name, values, axes in (("trials", inputs, 3), ("condition", condition, 1)):
        if values is None:
            continue
        shape = np.shape(values)
        if len(shape) != axes or shape[-1] != network.n_inputs or not np.isfinite(np.asarray(values)).all():
            expected = f"[{'trials, steps, ' if axes == 3 else ''}{network.n_inputs}]"
            raise ValueError(f"{name} has shape {shape}; expected {expected}, of finite numbers")
    return network, np.zeros(network.n_states) if initial is None else initial


def _targets(
    network: Network, trials: Trial | ArrayLike | None, initial: NDArray[np.float64], random: np.random.Generator
) -> tuple[Trial, str]:
    """Return the trials with their targets in float64, and what the error is of."""
    if isinstance(trials, Trial):
        given, targets = (np.asarray(each, np.float64) for each in trials)
        drawn = Trial(given, targets, None if trials.weights is None else np.asarray(trials.weights, np.float64))
        expected = outputs_of(network, given, initial).shape
        if targets.shape != expected:
            raise ValueError(f"trials has targets of shape {targets.shape}; expected {expected}")
        return drawn, f"share of the variance of the targets of {count_of(len(drawn.inputs), 'trial')}"
    inputs = random_trials(network.n_inputs, random) if trials is None else np.asarray(trials, np.float64)
    what = "outputs" if network.readout is not None else "states"
    said = f"{len(inputs)} {'random ' if trials is None else ''}trials"
    return Trial(inputs, outputs_of(network, inputs, initial)), f"deviation from the intact {what} on {said}"


def _each(masks: Masks) -> Iterable[Masks]:
    """Yield the lesions one by one."""
    for row in range(len(masks.states)):
        yield Masks(*(None if each is None else each[row] for each in masks))


def _search(
    network: Network,
    removal: Removal,
    inputs: NDArray[np.float64],
    initial: NDArray[np.float64],
    static: NDArray[np.float64],
    max_starts: int,
    max_seconds: float | None,
    key: PRNGKeyArray,
) -> FixedPoints:
    """Find the fixed points of a network with a lesion, from the states that it visits on the trials."""
    start_key, search_key = jax.random.split(key)
    some = inputs[:VISITED_TRIALS]
    states = network.run(some, np.tile(initial, (len(some), 1)))
    try:
        visited = visited_states(network, None, states, generator(start_key))
    except ValueError as error:
        raise ValueError(f"after the lesion {removal.name}: {error}") from error
    box = network.box(static)
    count = min(starts_for(network.n_states), max_starts)
    return find_fixed_points(
        network.step,
        starts_in(box, visited, count, generator(start_key)),
        static,
        box=box,
        max_starts=max_starts,
        max_seconds=max_seconds,
        key=search_key,
    )


def _columns(found: list[FixedPoints]) -> dict[str, list[Any]]:
    """Return the columns of the fixed points."""
    roots = [points.roots() for points in found]
    return {
        "n_roots": [len(each) for each in roots],
        "n_stable": [int((each.n_unstable == 0).sum()) for each in roots],
        "n_slow": [int(points.is_slow.sum()) for points in found],
        "index_sum": [points.index_sum for points in found],
        "certificate": [points.certificate for points in found],
        "certificate_reason": [points.reason for points in found],
        "n_starts": [points.n_starts for points in found],
        "spectral_radius": [_largest_radius(each) for each in roots],
    }


def _largest_radius(roots: FixedPoints) -> float:
    """Return the largest |λ| over the roots with the fewest unstable directions, which no count of starts changes."""
    if not len(roots):
        return float("nan")
    most_stable = roots.n_unstable == roots.n_unstable.min()
    return float(np.abs(roots.eigenvalues[most_stable]).max())


def _facts(row: "pd.Series[Any]") -> str:
    """Return the error and the fixed points of a row."""
    text = f"error {row['error']:.3g}"
    if "n_roots" not in row:
        return text
    return f"{text}; {count_of(int(row['n_roots']), 'root')}, {row['n_stable']} stable, {row['certificate']}"
