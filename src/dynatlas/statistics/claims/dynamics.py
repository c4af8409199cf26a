"""Claims about linearised dynamics: oscillation, integration, and trainability."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from dynatlas.atlas.schema import NEAR_ONE, SHOWN_CONTEXT
from dynatlas.atlas.view import AtlasLike
from dynatlas.statistics.claims.verdicts import (
    MAJORITY,
    Finding,
    above,
    below,
    differs,
    median_of,
    of_task,
    share_of,
    untestable,
)
from dynatlas.statistics.intervals import difference_interval, share_interval

GATED = ("ugrnn", "gru", "lstm")
# Limits that stand for "most", "near" and "just over" in the claims.
MOST = 0.8  # share of cases; sixteen networks without an exception show it
NEAR_FREQUENCY = 0.1  # relative error
NEAR_INTEGRAL = 0.2  # absolute error
SLIGHTLY = 1.2  # |λ|
# A line attractor: a state moves in a step by less than this share of the line's length, a trial later half of the
# activity's extent along the line is left, and that is several times the extent across it.
SLOW, HELD, LONG = 0.01, 0.5, 3.0


def one_oscillation(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Oscillation: one fixed point per condition, with one complex pair just over |λ| = 1 near the target frequency.

    A command under which a network has no fixed point, or one without a complex pair, counts as one that is missed.
    """
    searches = of_task(atlas, "searches", task)
    searches = searches.assign(one=(searches.n_roots == 1).astype(float))
    yield above(
        task, "share of commands with exactly one fixed point", *share_of(searches, "one"), MOST, "searches: n_roots"
    )
    rows = of_task(atlas, "oscillations", task)
    pair = (rows.n_unstable == 2) & (rows.spectral_radius > 1) & (rows.spectral_radius < SLIGHTLY)
    rows = rows.assign(pair=pair.astype(float), error=_frequency_offsets(rows).abs().fillna(np.inf))
    yield above(
        task,
        f"share of commands whose one unstable pair has |λ| in (1, {SLIGHTLY:g})",
        *share_of(rows, "pair"),
        MOST,
        "oscillations: n_unstable, spectral_radius",
    )
    yield below(
        task,
        "relative error of the linear frequency, median over commands and networks",
        *median_of(rows, "error"),
        NEAR_FREQUENCY,
        "oscillations: linear_frequency, frequency",
        _without_number(rows, "linear_frequency"),
    )


def frequency_offsets(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Oscillation: the linear frequency has small offsets that depend on architecture and activation."""
    rows = of_task(atlas, "oscillations", task)
    source = "oscillations: linear_frequency, frequency"
    by_network = rows.assign(offset=_frequency_offsets(rows)).groupby(["network", *atlas.study.levels])
    offsets = by_network.offset.median().reset_index()
    sizes = offsets.assign(size=offsets.offset.abs().fillna(np.inf))
    quantity = "size of a network's median relative frequency offset, median over networks"
    yield below(task, quantity, *median_of(sizes, "size"), NEAR_FREQUENCY, source)
    for factor in ("architecture", "activation"):
        yield differs(atlas, task, f"relative frequency offset by {factor}", offsets, "offset", factor, source)


def line_attractors(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Integration: in each context the network has a line attractor: slow along it, held for a trial, longer than wide.

    Straightness is not asked for: states of least speed lie straight in untrained networks, too.
    """
    rows = of_task(atlas, "line_attractors", task)
    is_line = (rows.speed_share < SLOW) & (rows.held_range > HELD) & (rows.length_to_width > LONG)
    conditions = (("slow", rows.speed_share < SLOW), ("held", rows.held_range > HELD))
    shares = ", ".join(f"{name} {100 * met.mean():.0f} %" for name, met in conditions) if len(rows) else ""
    yield above(
        task,
        f"share of contexts with a line: speed below {SLOW:g} of its length a step, more than {HELD:g} of the range "
        f"held for a trial, more than {LONG:g} times as long as wide",
        *share_of(rows.assign(line=is_line.astype(float)), "line"),
        MOST,
        "line_attractors: speed_share, held_range, length_to_width",
        shares,
    )


def modes_of_integration(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Integration: vanilla networks need one mode; gated ones have many eigenvalues near 1. In the context shown."""
    rows = _shown(atlas, task)
    known = rows[(rows.modes_needed >= 0) & (rows.architecture == "vanilla")]
    one = known.assign(one=(known.modes_needed == 1).astype(float))
    yield above(
        task,
        "share of vanilla networks whose response needs one mode",
        *share_of(one, "one"),
        MAJORITY,
        "line_attractors: modes_needed",
    )
    near = rows.dropna(subset=["modes_near_one"])
    vanilla, gated = (near.modes_near_one[near.architecture.isin(of)].to_numpy(float) for of in (("vanilla",), GATED))
    quantity = f"mean number of modes with |λ| > {NEAR_ONE:g} in gated networks, minus that in vanilla ones"
    source = "line_attractors: modes_near_one"
    if not len(vanilla) or not len(gated):
        yield untestable(task, "needs vanilla and gated networks", quantity, source)
        return
    yield above(
        task,
        quantity,
        float(gated.mean() - vanilla.mean()),
        difference_interval(gated, vanilla),
        1.0,
        source,
        f"gated {gated.mean():.3g}, vanilla {vanilla.mean():.3g}",
    )


def unit_integral(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Integration: the response to a unit input is near 1, with an offset that depends on the architecture."""
    rows = _shown(atlas, task)
    rows = rows.assign(error=(rows.response_median - 1).abs().fillna(np.inf))
    source = "line_attractors: response_median"
    quantity = "distance of the response to a unit of input from 1, median over networks"
    missing = _without_number(rows, "response_median")
    yield below(task, quantity, *median_of(rows, "error"), NEAR_INTEGRAL, source, missing)
    yield differs(atlas, task, "response by architecture", rows, "response_median", "architecture", source)


def relu_lstm_does_not_learn(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Oscillation: relu LSTMs do not learn the task."""
    networks = atlas.table("networks")
    rows = networks[(networks.task == task) & (networks.architecture == "lstm") & (networks.activation == "relu")]
    if not len(rows):
        yield untestable(task, "the study has no relu LSTM on this task", source="networks: passed")
        return
    passed = rows.passed.to_numpy(float)
    optimizers = "/".join(sorted(set(rows.optimizer)))
    yield below(
        task,
        "share of relu LSTMs that learn the task",
        float(passed.mean()),
        share_interval(passed),
        MAJORITY,
        "networks: passed",
        f"{int(passed.sum())} of {len(rows)}, trained with {optimizers}, {atlas.study.task(task).steps} steps a trial",
    )


def _frequency_offsets(rows: pd.DataFrame) -> "pd.Series[float]":
    """Return the relative offset of the linear frequency; NaN where there is none."""
    return rows.linear_frequency / rows.frequency - 1


def _shown(atlas: AtlasLike, task: str) -> pd.DataFrame:
    """Return the rows of the context that is shown: one for each network, as in the paper."""
    rows = of_task(atlas, "line_attractors", task)
    return rows[rows.condition == SHOWN_CONTEXT]


def _without_number(rows: pd.DataFrame, column: str) -> str:
    """Count the networks that never have a number, which count as far off."""
    none = int(rows[column].isna().groupby(rows.network).all().sum())
    return f"{none} of {rows.network.nunique()} networks have none" if none else ""
