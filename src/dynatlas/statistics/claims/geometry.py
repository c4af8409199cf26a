"""Claims about the geometry of representations."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dynatlas.atlas.view import AtlasLike
from dynatlas.statistics.claims.verdicts import Finding, above, below, separates, untestable
from dynatlas.statistics.intervals import Interval, draws, percentile_interval
from dynatlas.statistics.pairs import correlation_of_pairs

# Two measures agree if the correlation of their distances is at least this.
SAME = 0.5


def svcca_separates(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """SVCCA separates architectures and activations."""
    for factor in ("architecture", "activation"):
        if "svcca" in atlas.study.analysis.measures:
            yield separates(atlas, task, "svcca", factor)
        else:
            yield untestable(task, "the study does not compare by svcca")


def cka_separates(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """CKA agrees with SVCCA: its distances are correlated with SVCCA's, and separate the same factors."""
    if not {"svcca", "cka"} <= set(atlas.study.analysis.measures):
        yield untestable(task, "the study does not compare by both svcca and cka")
        return
    first, second = (atlas.arrays(f"distances/{task}/{name}")["distance"].values for name in ("svcca", "cka"))
    quantity = "correlation over pairs of the distances by svcca and by cka"
    source = f"distances/{task}/svcca, distances/{task}/cka"
    if len(first) < 3:
        yield untestable(task, "there are fewer than three networks", quantity, source)
        return
    yield above(task, quantity, *correlation_of_pairs(first, second), SAME, source)
    for factor in ("architecture", "activation"):
        yield separates(atlas, task, "cka", factor)


def untrained_are_nearer(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Relu vanilla networks are nearer to untrained relu ones than to trained tanh ones."""
    group = f"controls/{task}/svcca"
    quantity = "mean distance of trained relu vanilla networks to untrained relu ones, minus that to trained tanh ones"
    if not atlas.has(f"arrays.zarr/{group}"):
        yield untestable(task, "needs population.untrained_controls = true and the measure svcca", quantity, group)
        return
    stored = atlas.arrays(group)
    networks = atlas.table("networks").set_index("network")
    ids = [str(name).removesuffix(" untrained") for name in stored.network.values]
    factors = networks.loc[ids]
    vanilla = (factors.architecture == "vanilla").to_numpy()
    relu, trained = (factors.activation == "relu").to_numpy(), stored.is_trained.values
    # Both have the same length, since every network occurs trained and untrained.
    relu_trained, relu_untrained = (np.flatnonzero(vanilla & relu & is_trained) for is_trained in (trained, ~trained))
    tanh_trained = np.flatnonzero(vanilla & ~relu & trained)
    if min(len(relu_trained), len(tanh_trained)) < 2:
        yield untestable(task, "needs two trained vanilla networks of each activation", quantity, group)
        return
    matrix = stored["distance"].values
    value, ends = _difference(matrix, relu_trained, relu_untrained, tanh_trained)
    note = f"{len(relu_trained)} relu and {len(tanh_trained)} tanh vanilla networks"
    yield below(task, quantity, value, ends, 0.0, group, note)


def _difference(
    matrix: NDArray[np.float64],
    rows: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> tuple[float, Interval]:
    """Compute the mean distance from ``rows`` to ``first`` minus that to ``second``, with all networks resampled."""
    to_first, to_second = matrix[np.ix_(rows, first)], matrix[np.ix_(rows, second)]
    bootstraps = 999
    own, others = draws(len(rows), bootstraps, 0), draws(len(second), bootstraps, 1)
    own = own / own.sum(axis=1, keepdims=True)
    others = others / others.sum(axis=1, keepdims=True)
    # ``first`` are the networks of ``rows`` before training, drawn together with them.
    values = ((own @ to_first) * own).sum(axis=1) - ((own @ to_second) * others).sum(axis=1)
    return float(to_first.mean() - to_second.mean()), percentile_interval(values)
