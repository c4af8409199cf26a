"""What the figures and the report read from an atlas, and what they say when a part of it is not there."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import pandas as pd
import xarray as xr

from dynatlas._util.json import Json
from dynatlas._util.messages import sentence_case
from dynatlas.cells.activations import ACTIVATIONS
from dynatlas.cells.registry import BUILT_IN as BUILT_IN_CELLS
from dynatlas.study.members import FACTORS, level_text
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


Variant = tuple[Any, Any]  # levels of the two factors that pictures show


class Representative(NamedTuple):
    """The network that is drawn of a task and variant."""

    network: str
    name: str
    task: str
    variant: Variant


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


def shown_factors(study: Study) -> tuple[str, str]:
    """The factors that pictures show: one by colour, columns and outer bars, one by markers, line styles, inner bars.

    They are the first two with several levels, in the order architecture, activation, factors under ``[factors]`` as
    they stand there, units, L2. Where fewer vary, architecture and activation fill up.

    Example:
        >>> shown_factors(Study.load("paper"))
        ('architecture', 'activation')
    """
    architecture, activation, *sizes = FACTORS
    further = (factor.name for factor in study.further_factors)
    varying = [factor for factor in (architecture, activation, *further, *sizes) if len(study.levels[factor]) > 1]
    first, second = [*varying, *(factor for factor in (architecture, activation) if factor not in varying)][:2]
    return first, second


def varying_factors(study: Study) -> tuple[str, ...]:
    """Those of the shown factors that have several levels; the first, if none has.

    Example:
        >>> varying_factors(Study.load("paper"))
        ('architecture', 'activation')
    """
    shown = shown_factors(study)
    return tuple(factor for factor in shown if len(study.levels[factor]) > 1) or shown[:1]


def other_factor(study: Study, factor: str) -> str:
    """The shown factor that goes with this one, such as by markers on a map that is coloured by it."""
    first, second = shown_factors(study)
    return first if factor == second else second


def levels_of(study: Study, factor: str) -> list[Any]:
    """The levels of a factor in the order of every picture.

    Built-in architectures and activations have that of dynatlas, and other ones that of the study, after them; numbers
    are sorted, other levels are as in the study.
    """
    levels = study.levels[factor]
    if factor in _BUILT_IN_LEVELS:
        return ordered(levels, _BUILT_IN_LEVELS[factor])
    return sorted(levels) if all(isinstance(level, int | float) for level in levels) else list(levels)


def all_levels(study: Study) -> dict[str, list[Any]]:
    """The levels of every factor in the order of every picture, the shown factors first.

    Example:
        >>> list(all_levels(Study.load("paper")))
        ['architecture', 'activation', 'units', 'l2']
    """
    return {factor: levels_of(study, factor) for factor in dict.fromkeys((*shown_factors(study), *study.levels))}


_BUILT_IN_LEVELS: Final[Mapping[str, Sequence[str]]] = {
    "architecture": BUILT_IN_CELLS,
    "activation": tuple(ACTIVATIONS),
}


def variants(atlas: AtlasLike) -> list[Variant]:
    """The combinations of the levels of the shown factors, in the order in which every picture has them."""
    return list(itertools.product(*(levels_of(atlas.study, factor) for factor in shown_factors(atlas.study))))


def ordered(values: Iterable[str], order: Iterable[str]) -> list[str]:
    """The values in the canonical order; those that it does not name come last, as they stand."""
    rank = {value: place for place, value in enumerate(order)}
    return sorted(dict.fromkeys(values), key=lambda value: rank.get(value, len(rank)))


def of_variant(study: Study, rows: pd.DataFrame, variant: Variant) -> pd.DataFrame:
    """The rows of networks of this variant; the rows have the columns of the factors."""
    first, second = shown_factors(study)
    return rows[(rows[first] == variant[0]) & (rows[second] == variant[1])]


def shows_units(study: Study) -> bool:
    """Whether the number of units is a factor that pictures show."""
    return "units" in varying_factors(study)


def of_smallest(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of networks of the smallest size; all of them, if pictures show the number of units."""
    return rows if shows_units(study) else rows[rows["units"] == min(study.population.units)]


def sort_networks(study: Study, networks: pd.DataFrame) -> pd.DataFrame:
    """Sort by the shown factors, then the others, then the seed."""
    ranks = {
        factor: networks[factor].map({level: place for place, level in enumerate(levels)})
        for factor, levels in all_levels(study).items()
    }
    order = pd.DataFrame(ranks | {"seed": networks["seed"]}).sort_values([*ranks, "seed"], kind="stable").index
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
    shown = list(shown_factors(atlas.study))
    columns = chosen.drop_duplicates(shown)[["network", "name", "task", *shown]]
    return [
        Representative(network, name, of, (first, second))
        for network, name, of, first, second in columns.itertuples(index=False, name=None)
    ]


def measures(atlas: AtlasLike, task: str) -> list[str]:
    """The measures by which a task's networks are compared."""
    return list(atlas.study.measures_of(task))


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
        'n = 23, 9 components, 3 of 253 pairs the same, stress 0.12'

    Of distances that are sought, it states how far a lower bound lies below them.
    """
    pairs = facts["n_networks"] * (facts["n_networks"] - 1) // 2
    components, gap = int(facts["n_components"]), float(facts.get("gap_median", math.nan))
    parts = [
        f"n = {facts['n_networks']:,}",
        f"{components} component{'s' * (components != 1)}" if components else "",
        f"{facts['n_identical']:,} of {pairs:,} pairs the same" if facts["n_identical"] > 0 else "",
        "" if math.isnan(gap) else f"distances at most {100 * gap:.0f} % too large in the median",
        f"stress {facts['stress']:.2f}",
    ]
    return ", ".join(filter(None, parts))


_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\d)", re.IGNORECASE)


def left_out(networks: pd.DataFrame) -> dict[str, int]:
    """The networks that did not pass, counted by reason, the most frequent first.

    Reasons that differ only in their numbers, in more than three ways, are one; “…” then stands for the numbers, and
    the iterations are not named.
    """
    reasons = [reason or "no reason was recorded" for reason in networks.loc[~networks["passed"], "reason"]]
    kinds: dict[str, list[str]] = {}
    for reason in reasons:
        kinds.setdefault(_NUMBER.sub("…", reason), []).append(reason)
    counts: Counter[str] = Counter()
    for kind, same in kinds.items():
        counts.update(same if len(set(same)) <= 3 else [kind.removesuffix(" at iteration …")] * len(same))
    return dict(counts.most_common())


def lost_levels(study: Study, networks: pd.DataFrame) -> list[str]:
    """Name the levels of varying factors of which no network passed, task by task: the factor cannot be compared there.

    Example: "Flip-flop: no network with gain 0.5".
    """
    found = []
    for task, rows in networks.groupby("task", sort=False):
        for factor, levels in study.levels.items():
            passed = set(rows.loc[rows["passed"], factor])
            lost = [level_text(level) for level in levels if level not in passed]
            if lost and passed and len(levels) > 1:
                found.append(f"{task_title(study, str(task))}: no network with {factor} {' or '.join(lost)}")
    return found


def left_out_sentence(networks: pd.DataFrame) -> str:
    """How many networks did not pass, and why."""
    reasons = left_out(networks)
    if not reasons:
        return "No network was left out."
    listed = "; ".join(f"{count} — {reason}" for reason, count in reasons.items())
    return f"Left out: {listed}."
