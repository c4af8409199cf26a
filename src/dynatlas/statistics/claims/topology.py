"""Claims about the topology of fixed points: their number, their graphs, and the factors that separate these."""

from collections.abc import Iterator
from math import comb

import numpy as np

from dynatlas._util.modes import mode
from dynatlas.atlas.view import AtlasLike
from dynatlas.measures.aspects import aspect
from dynatlas.statistics.claims.verdicts import (
    DOES_NOT_HOLD,
    HOLDS,
    Finding,
    below,
    does_not_separate,
    of_task,
    separates,
    untestable,
)
from dynatlas.statistics.intervals import share_interval


def transitions_do_not_separate(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Memory: transition graphs separate architectures neither by the paper's distance nor by the fused one."""
    for measure in ("transition_graph", "fused_transition_graph"):
        yield does_not_separate(atlas, task, measure, "architecture")


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
    modal, _ = mode(searches.n_roots.tolist())
    points = of_task(atlas, "fixed_points", task)
    points = points[~points.is_slow.astype(bool)]
    of_network, none = dict(iter(points.groupby("network").n_unstable)), points.n_unstable[:0]
    n_unstable = [of_network.get(network, none) for network in searches.network[searches.n_roots == modal]]
    composition, count = mode(tuple(np.bincount(of, minlength=channels + 1).tolist()) for of in n_unstable)
    wanted = tuple(comb(channels, k) * unstable**k * stable ** (channels - k) for k in range(channels + 1))
    parts = " + ".join(map(str, composition))
    yield Finding(
        task,
        HOLDS if composition == wanted else DOES_NOT_HOLD,
        f"modal number of fixed points; claimed: {values**channels} = {' + '.join(map(str, wanted))}",
        float(modal),
        source="searches: n_roots; fixed_points: n_unstable",
        note=f"{count} of {len(searches)} networks have {modal} = {parts}",
    )
    is_off = (searches.n_roots != modal).to_numpy(float)
    off = int(is_off.sum())
    yield below(
        task,
        "share of networks off the modal number",
        off / len(searches),
        share_interval(is_off),
        0.1,
        "searches: n_roots",
        f"{off} of {len(searches)} networks",
    )


def chains_do_not_separate(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Oscillation: chains of fixed points separate neither architectures nor activations."""
    for factor in ("architecture", "activation"):
        yield does_not_separate(atlas, task, "neighbor_graph", factor)


def lines_separate_activations(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Integration: the topology of the line separates activations, but not architectures."""
    yield separates(atlas, task, "neighbor_graph", "activation")
    yield does_not_separate(atlas, task, "neighbor_graph", "architecture")


def activation_changes_topology(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """The opposing claim: every measure of topology separates activations."""
    for measure in atlas.study.task(task).topology:
        if aspect(measure) == "topology":
            yield separates(atlas, task, measure, "activation")
