"""Claims about what fixed points form: their number, their graphs, and what tells these apart."""

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
from dynatlas.statistics.resampling import Interval


def transitions_do_not_separate(atlas: AtlasLike) -> Iterator[Finding]:
    """Flip-flop: neither by the paper's distance nor by the one that drops no network."""
    for measure in ("transition_graph", "fused_transition_graph"):
        yield does_not_separate(atlas, "flip_flop", measure, "architecture")


def modal_count(atlas: AtlasLike) -> Iterator[Finding]:
    """3^K fixed points as 2^K stable ones, … and one with K unstable directions; few networks off it."""
    from scipy.stats import binomtest  # takes half a second

    searches = of_task(atlas, "searches", "flip_flop")
    channels = atlas.study.task("flip_flop").n_outputs
    ideal = 3**channels
    if not len(searches):
        yield untestable("flip_flop", "no network was analysed", source="searches")
        return
    modal, _ = mode(searches.n_roots.tolist())
    points = of_task(atlas, "fixed_points", "flip_flop")
    points = points[~points.is_slow.astype(bool)]
    of_network, none = dict(iter(points.groupby("network").n_unstable)), points.n_unstable[:0]
    n_unstable = [of_network.get(network, none) for network in searches.network[searches.n_roots == modal]]
    composition, count = mode(tuple(np.bincount(of, minlength=channels + 1).tolist()) for of in n_unstable)
    wanted = tuple(comb(channels, k) * 2 ** (channels - k) for k in range(channels + 1))
    parts = " + ".join(map(str, composition))
    yield Finding(
        "flip_flop",
        HOLDS if composition == wanted else DOES_NOT_HOLD,
        f"modal number of fixed points; asked: {ideal} = {' + '.join(map(str, wanted))}",
        float(modal),
        source="searches: n_roots; fixed_points: n_unstable",
        note=f"{count} of {len(searches)} networks have {modal} = {parts}",
    )
    off = int((searches.n_roots != modal).sum())
    ends = binomtest(off, len(searches)).proportion_ci(method="wilson")
    yield below(
        "flip_flop",
        "share of networks off the modal number",
        off / len(searches),
        Interval(ends.low, ends.high),
        0.1,
        "searches: n_roots",
        f"{off} of {len(searches)} networks",
    )


def chains_do_not_separate(atlas: AtlasLike) -> Iterator[Finding]:
    """Sine: neither architectures nor activations."""
    for factor in ("architecture", "activation"):
        yield does_not_separate(atlas, "sine_wave", "neighbor_graph", factor)


def lines_separate_activations(atlas: AtlasLike) -> Iterator[Finding]:
    """Integration: activations, but not architectures."""
    yield separates(atlas, "context_integration", "neighbor_graph", "activation")
    yield does_not_separate(atlas, "context_integration", "neighbor_graph", "architecture")


def activation_changes_topology(atlas: AtlasLike) -> Iterator[Finding]:
    """The opposing claim, on each task and measure of topology."""
    for task in atlas.study.tasks:
        for measure in task.topology:
            if aspect(measure) == "topology":
                yield separates(atlas, task.kind, measure, "activation")
