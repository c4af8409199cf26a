"""The table of fixed-point counts: one row per network, its searches under several static inputs summed up."""

from collections import Counter
from typing import NamedTuple

import pandas as pd

from dynatlas.figures.counts import composition, searches
from dynatlas.figures.reading import AtlasLike, Missing, sort_networks, table, tasks
from dynatlas.figures.style import TASK_TITLES, variant_label


class RootRow(NamedTuple):
    """A network's fixed points; a cell is (what is shown, what it is sorted by)."""

    task: str
    title: str
    variant: tuple[str, str]
    units: tuple[str, float]
    seed: tuple[str, float]
    n_roots: tuple[str, float]
    by_unstable: tuple[str, str]
    n_slow: tuple[str, float]
    index_sum: tuple[str, float]
    certificate: tuple[str, str]
    n_starts: tuple[str, float]
    name: str


def root_table(atlas: AtlasLike) -> list[RootRow]:
    """One row per network that was searched, in the order of every picture.

    Raises:
        Missing: the searches or the points are not stored.
    """
    rows: list[RootRow] = []
    for task in tasks(atlas):
        try:
            rows += _rows(atlas, task)
        except Missing:
            if task == tasks(atlas)[-1] and not rows:
                raise
    return rows


def _rows(atlas: AtlasLike, task: str) -> list[RootRow]:
    made = table(atlas, "searches", task)
    compositions: dict[str, Counter[str]] = {}
    for search in searches(atlas, task):
        compositions.setdefault(search.network, Counter())[composition(search.by_unstable)] += 1
    of_network = {str(name): rows for name, rows in made.groupby("network", sort=False)}
    networks = sort_networks(table(atlas, "networks", task))
    rows = []
    for one in networks[networks["network"].isin(of_network)].itertuples(index=False):
        found = of_network[str(one.network)]
        variant = variant_label(str(one.architecture), str(one.activation))
        rows.append(
            RootRow(
                task,
                TASK_TITLES[task],
                (variant, variant),
                (str(one.units), float(str(one.units))),
                (str(one.seed), float(str(one.seed))),
                _range(found["n_roots"]),
                _most_common(compositions[str(one.network)]),
                _range(found["n_slow"]),
                _range(found["index_sum"]),
                _most_common(Counter(found["certificate"])),
                _range(found["n_starts"]),
                str(one.name),
            )
        )
    return rows


def _range(values: "pd.Series[int]") -> tuple[str, float]:
    low, high = int(values.min()), int(values.max())
    return (f"{low:,}" if low == high else f"{low:,} to {high:,}"), float(high)


def _most_common(counts: Counter[str]) -> tuple[str, str]:
    text, times = counts.most_common(1)[0]
    total = counts.total()
    return (text if times == total else f"{text} (in {times} of {total})"), text
