"""Claims about the geometry of representations."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from dynatlas.atlas.view import AtlasLike
from dynatlas.statistics.claims.verdicts import (
    Finding,
    above,
    among_all_and_subsets,
    below,
    separates,
    untestable,
)
from dynatlas.statistics.intervals import NONE, Interval, jackknife_interval
from dynatlas.statistics.pairs import correlation_of_pairs

# Two measures agree if the correlation of their distances is at least this.
SAME = 0.5


def svcca_separates(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """SVCCA separates architectures and activations."""
    for factor in ("architecture", "activation"):
        if "svcca" in atlas.study.analysis.measures:
            yield from among_all_and_subsets(separates, atlas, task, "svcca", factor)
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
        yield from among_all_and_subsets(separates, atlas, task, "cka", factor)


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
    matrix = stored["distance"].values
    value, ends = _difference(matrix[np.ix_(relu_trained, relu_untrained)], matrix[np.ix_(relu_trained, tanh_trained)])
    note = f"{len(relu_trained)} relu and {len(tanh_trained)} tanh vanilla networks"
    yield below(task, quantity, value, ends, 0.0, group, note)


def _difference(
    to_untrained: Float[np.ndarray, "relu relu"], to_tanh: Float[np.ndarray, "relu tanh"]
) -> tuple[float, Interval]:
    """Compute the mean distance of networks to others before training, minus that to networks of another group.

    A network's distance from its own weights before training is left out. The interval is that of the jackknife over
    the networks of both groups; NaN for fewer than three and two networks.
    """
    n, m = to_tanh.shape
    if n < 3 or m < 2:
        return float("nan"), NONE
    others = to_untrained - np.diag(np.diagonal(to_untrained))
    pairs, rows, columns = others.sum(), to_tanh.sum(axis=1), to_tanh.sum(axis=0)
    own, away = pairs / (n * (n - 1)), to_tanh.mean()
    left = (pairs - others.sum(axis=0) - others.sum(axis=1)) / ((n - 1) * (n - 2))
    without = np.concatenate(
        [left - (rows.sum() - rows) / ((n - 1) * m), own - (columns.sum() - columns) / (n * (m - 1))]
    )
    cells = np.repeat([0, 1], [n, m])
    return float(own - away), jackknife_interval(float(own - away), without, cells)
