"""Claims about the topology of fixed points: their number, their graphs, and the factors that separate these."""

from collections.abc import Iterator
from math import comb

import numpy as np

from dynatlas._util.modes import mode
from dynatlas.atlas.view import AtlasLike
from dynatlas.measures.findings import TRANSITIONS, aspect, comparing
from dynatlas.statistics.claims.verdicts import (
    MAJORITY,
    Finding,
    above,
    among_all_and_subsets,
    below,
    does_not_separate,
    of_task,
    separates,
    untestable,
)
from dynatlas.statistics.intervals import share_interval

FEW = 0.1  # share of networks that are "few"


def transitions_do_not_separate(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Memory: transition graphs do not separate architectures, by any distance of them."""
    for measure in _compared_by(atlas, task, comparing(TRANSITIONS)):
        yield from among_all_and_subsets(does_not_separate, atlas, task, measure, "architecture")


def modal_count(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Memory: with L ideal values of each of K outputs, most networks have L^K fixed points, as stable as the values.

    For the flip-flop 3^K: 2^K stable fixed points, … and one with K unstable directions.
    """
    searches = of_task(atlas, "searches", task)
    channels, values = atlas.study.task(task).n_outputs, len(atlas.study.task(task).ideal_outputs)
    stable, unstable = values - values // 2, values // 2  # they alternate along each output
    if not len(searches):
        yield untestable(task, "no network was analysed", source="searches")
        return
    points = of_task(atlas, "fixed_points", task)
    points = points[~points.is_slow.astype(bool)]
    of_network, none = dict(iter(points.groupby("network").n_unstable)), points.n_unstable[:0]
    compositions = [
        tuple(np.bincount(of_network.get(network, none), minlength=channels + 1).tolist())
        for network in searches.network
    ]
    wanted = tuple(comb(channels, k) * unstable**k * stable ** (channels - k) for k in range(channels + 1))
    as_wanted = np.array([composition == wanted for composition in compositions], float)
    yield above(
        task,
        f"share of networks with {values**channels} = {' + '.join(map(str, wanted))} fixed points",
        float(as_wanted.mean()),
        share_interval(as_wanted),
        MAJORITY,
        "searches: n_roots; fixed_points: n_unstable",
        f"{int(as_wanted.sum())} of {len(searches)} networks; {_most_frequent(compositions)}",
    )
    modal, _ = mode(searches.n_roots.tolist())
    is_off = (searches.n_roots != modal).to_numpy(float)
    yield below(
        task,
        "share of networks off the modal number",
        float(is_off.mean()),
        share_interval(is_off),
        FEW,
        "searches: n_roots",
        f"{int(is_off.sum())} of {len(searches)} networks do not have {modal}",
    )


def chains_do_not_separate(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Oscillation: chains of fixed points separate neither architectures nor activations."""
    for factor in ("architecture", "activation"):
        yield from among_all_and_subsets(does_not_separate, atlas, task, "neighbor_graph", factor)


def lines_separate_activations(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Integration: the topology of the line separates activations, but not architectures."""
    yield from among_all_and_subsets(separates, atlas, task, "neighbor_graph", "activation")
    yield from among_all_and_subsets(does_not_separate, atlas, task, "neighbor_graph", "architecture")


def activation_changes_topology(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """The activation changes the topology of solutions: by every measure of topology of the task."""
    for measure in atlas.study.task(task).topology:
        if aspect(measure) == "topology":
            yield from among_all_and_subsets(separates, atlas, task, measure, "activation")


def _compared_by(atlas: AtlasLike, task: str, measures: frozenset[str]) -> list[str]:
    return [measure for measure in atlas.study.task(task).topology if measure in measures]


def _most_frequent(compositions: list[tuple[int, ...]]) -> str:
    composition, count = mode(compositions)
    parts = " + ".join(map(str, composition))
    return f"most often {sum(composition)} = {parts} ({count})"
