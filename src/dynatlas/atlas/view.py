"""What the figures and the report read from an atlas, and what they say when a part of it is not there."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import pandas as pd
import xarray as xr

from dynatlas._util.json import Json
from dynatlas._util.messages import sentence_case
from dynatlas.cells.activations import ACTIVATIONS
from dynatlas.cells.registry import BUILT_IN as BUILT_IN_CELLS
from dynatlas.study.study import Study
from dynatlas.tasks.registry import BUILT_IN, TASKS, built_in_task
from dynatlas.tasks.task import Computation

TRAJECTORIES = "arrays.zarr/trajectories/"


@runtime_checkable  # so that tests can check annotations
class AtlasLike(Protocol):
    """What the figures ask of an atlas: it is read, never written."""

    @property
    def study(self) -> Study: ...  # noqa: D102
    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def provenance(self) -> Json: ...  # noqa: D102
    @property
    def entries(self) -> Mapping[str, Any]: ...  # noqa: D102
    def has(self, name: str) -> bool: ...  # noqa: D102
    def table(self, name: str) -> pd.DataFrame: ...  # noqa: D102
    def arrays(self, group: str) -> xr.Dataset: ...  # noqa: D102


class Snapshot:
    """An atlas of which each part is read, and its hash checked, only once: many pictures share their tables."""

    def __init__(self, atlas: AtlasLike) -> None:
        self._atlas = atlas
        self.study = atlas.study
        self.path = atlas.path
        self._tables: dict[str, pd.DataFrame] = {}
        self._arrays: dict[str, xr.Dataset] = {}

    @cached_property
    def provenance(self) -> Json:
        """The atlas's provenance."""
        return self._atlas.provenance

    @cached_property
    def entries(self) -> Mapping[str, Any]:
        """What is complete, by name."""
        return self._atlas.entries

    def has(self, name: str) -> bool:
        """Whether this part is complete."""
        return name in self.entries

    def table(self, name: str) -> pd.DataFrame:
        """A table; whoever changes it copies it first."""
        if name not in self._tables:
            self._tables[name] = self._atlas.table(name)
        return self._tables[name]

    def arrays(self, group: str) -> xr.Dataset:
        """A group of arrays."""
        if group not in self._arrays:
            self._arrays[group] = self._atlas.arrays(group)
        return self._arrays[group]


class Missing(Exception):  # noqa: N818 - a state to be shown, not a fault
    """A part of the atlas that a picture needs is not there; the message tells the reader how to get it."""


class Representative(NamedTuple):
    """The network that is drawn of a task, architecture and activation."""

    network: str
    name: str
    task: str
    architecture: str
    activation: str


def table(atlas: AtlasLike, name: str, task: str | None = None) -> pd.DataFrame:
    """A stored table, or its rows for one task.

    Raises:
        Missing: it is not stored, or has no such row.
    """
    if not atlas.has(f"tables/{name}.parquet"):
        raise Missing(f"The table “{name}” is not in this atlas.\n{_how_to_get_it(atlas, task)}")
    frame = atlas.table(name)
    if task is not None:
        if "task" in frame.columns:
            frame = frame[frame["task"] == task]
        else:
            frame = frame[frame["network"].isin(table(atlas, "networks", task)["network"])]
    if frame.empty:
        where = f" for the {task_name(atlas.study, task)}" if task else ""
        raise Missing(f"The table “{name}” has no row{where}.\n{_how_to_get_it(atlas, task)}")
    return frame.reset_index(drop=True)


def arrays(atlas: AtlasLike, group: str, task: str | None = None) -> xr.Dataset:
    """A stored group of arrays.

    Raises:
        Missing: it is not stored.
    """
    if not atlas.has(f"arrays.zarr/{group}"):
        raise Missing(f"The array “{group}” is not in this atlas.\n{_how_to_get_it(atlas, task)}")
    return atlas.arrays(group)


def _how_to_get_it(atlas: AtlasLike, task: str | None) -> str:
    if task is not None and atlas.has("tables/networks.parquet"):
        networks = atlas.table("networks")
        of_task = networks[networks["task"] == task]
        if len(of_task) and not of_task["passed"].any():
            return "No network of this task passed, so none was analysed."
    return "Run the same “dynatlas run …” again:\nit computes what is missing."


def tasks(atlas: AtlasLike) -> list[str]:
    """The names of the study's tasks, in its order."""
    return [task.name for task in atlas.study.tasks]


def tasks_with(study: Study, computation: Computation) -> list[str]:
    """The names of the study's tasks with this computation, in its order; of a study without one, the built-in one."""
    return [task.name for task in study.tasks if computation in task.computations] or [built_in_task(computation)]


def task_name(study: Study | None, name: str) -> str:
    """A task's words within a sentence; where the study does not have it, its kind's title or the words of its name."""
    for task in study.tasks if study else ():
        if task.name == name:
            return task.label
    return TASKS[name].title if name in BUILT_IN else name.replace("_", " ")


def task_title(study: Study | None, name: str) -> str:
    """The same above a picture or at the head of a sentence."""
    return sentence_case(task_name(study, name))


def narrow_title(study: Study, name: str) -> str:
    """The same for a panel that is one of three: the long one on two lines."""
    return task_title(study, name).replace("dependent ", "dependent\n")


def variants(atlas: AtlasLike) -> list[tuple[str, str]]:
    """The study's (architecture, activation) pairs, in the order in which every picture has them."""
    return list(itertools.product(architectures_of(atlas.study), activations_of(atlas.study)))


def architectures_of(study: Study) -> list[str]:
    """The study's architectures: built-in ones in the order of ``CELLS``, then others in the study's order."""
    return ordered(study.population.architectures, BUILT_IN_CELLS)


def activations_of(study: Study) -> list[str]:
    """The study's activations, in the order of ``cells.ACTIVATIONS``."""
    return ordered(study.population.activations, ACTIVATIONS)


def ordered(values: Iterable[str], order: Iterable[str]) -> list[str]:
    """The values in the canonical order; those that it does not name come last, as they stand."""
    rank = {value: place for place, value in enumerate(order)}
    return sorted(dict.fromkeys(values), key=lambda value: rank.get(value, len(rank)))


def of_variant(rows: pd.DataFrame, architecture: str, activation: str) -> pd.DataFrame:
    """The rows of networks with this architecture and activation."""
    return rows[(rows["architecture"] == architecture) & (rows["activation"] == activation)]


def sort_networks(study: Study, networks: pd.DataFrame) -> pd.DataFrame:
    """Sort by architecture, then activation, then units, L2 and seed."""
    rank = networks.assign(
        _architecture=networks["architecture"].map(architectures_of(study).index),
        _activation=networks["activation"].map(activations_of(study).index),
    )
    order = rank.sort_values(["_architecture", "_activation", "units", "l2", "seed"], kind="stable").index
    return networks.loc[order].reset_index(drop=True)


def representatives(atlas: AtlasLike, task: str) -> list[Representative]:
    """One network of each variant of a task, of the smallest size of which trajectories are stored; in picture order.

    Raises:
        Missing: there is none.
    """
    stored = {name.removeprefix(TRAJECTORIES) for name in atlas.entries if name.startswith(TRAJECTORIES)}
    networks = table(atlas, "networks", task)
    chosen = sort_networks(atlas.study, networks[networks["network"].isin(stored)])
    if chosen.empty:
        raise Missing(f"No trajectories are in this atlas for this task.\n{_how_to_get_it(atlas, task)}")
    # Stored for every block, of which a variant has one for each size and part.
    columns = chosen.drop_duplicates(["architecture", "activation"])[list(Representative._fields)]
    return [Representative(*row) for row in columns.itertuples(index=False, name=None)]


def measures(atlas: AtlasLike, task: str) -> list[str]:
    """The measures a task's networks are compared by: the study's of geometry, and the task's of topology."""
    return [*atlas.study.analysis.measures, *atlas.study.task(task).topology]


def distances(atlas: AtlasLike, task: str, measure: str) -> tuple[pd.DataFrame, Any]:
    """The compared networks in the order of every picture, and their distances ``[network, network]``.

    Raises:
        Missing: the matrix is not stored.
    """
    stored = arrays(atlas, f"distances/{task}/{measure}", task)["distance"]
    if not stored.size:
        raise Missing(f"No two networks were compared by {measure}.\n{_how_to_get_it(atlas, task)}")
    networks = table(atlas, "networks", task)
    compared = sort_networks(atlas.study, networks[networks["network"].isin(stored["network"].values.astype(str))])
    ids = compared["network"].to_numpy(dtype=object)
    return compared, stored.sel(network=ids, other_network=ids).transpose("network", "other_network").values


def embedding(atlas: AtlasLike, task: str, measure: str) -> pd.DataFrame:
    """One row per compared network: its factors and its MDS coordinates ``x`` and ``y``.

    Raises:
        Missing: this map is not stored.
    """
    rows = table(atlas, "embeddings", task)
    rows = rows[rows["measure"] == measure]
    if rows.empty:
        raise Missing(f"No MDS of the {measure} distances is in this atlas.\n{_how_to_get_it(atlas, task)}")
    networks = table(atlas, "networks", task)
    return sort_networks(atlas.study, networks.merge(rows[["network", "x", "y"]], on="network"))


def map_facts(atlas: AtlasLike, task: str, measure: str) -> "pd.Series[Any] | None":
    """The row of ``maps`` for one distance matrix, if there."""
    try:
        rows = table(atlas, "maps", task)
    except Missing:
        return None
    rows = rows[rows["measure"] == measure]
    return None if rows.empty else rows.iloc[0]


def map_note(facts: "pd.Series[Any]") -> str:
    """State how many networks a map has, how they were compared, and how far the map distorts their distances.

    Example:
        >>> map_note(pd.Series({"n_networks": 23, "stress": 0.125, "n_components": 9, "n_identical": 3}, dtype=object))
        'n = 23, 9 components, stress 0.12, 3 of 253 pairs the same'
    """
    pairs = facts["n_networks"] * (facts["n_networks"] - 1) // 2
    components = int(facts["n_components"])
    parts = [
        f"n = {facts['n_networks']:,}",
        f"{components} component{'s' * (components != 1)}" if components else "",
        f"stress {facts['stress']:.2f}",
        f"{facts['n_identical']:,} of {pairs:,} pairs the same" if facts["n_identical"] > 0 else "",
    ]
    return ", ".join(filter(None, parts))


_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\d)", re.IGNORECASE)


def left_out(networks: pd.DataFrame) -> dict[str, int]:
    """The networks that did not pass, counted by reason, the most frequent first.

    Reasons that differ only in their numbers, in more than three ways, are one; “…” then stands for the numbers.
    """
    reasons = [reason or "no reason was recorded" for reason in networks.loc[~networks["passed"], "reason"]]
    kinds: dict[str, list[str]] = {}
    for reason in reasons:
        kinds.setdefault(_NUMBER.sub("…", reason), []).append(reason)
    counts: Counter[str] = Counter()
    for kind, same in kinds.items():
        counts.update(same if len(set(same)) <= 3 else [kind] * len(same))
    return dict(counts.most_common())


def left_out_sentence(networks: pd.DataFrame) -> str:
    """How many networks did not pass, and why."""
    reasons = left_out(networks)
    if not reasons:
        return "No network was left out."
    listed = "; ".join(f"{count} — {reason}" for reason, count in reasons.items())
    return f"Left out: {listed}."
