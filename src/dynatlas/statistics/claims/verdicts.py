"""Decision rules for claims: the 95 % interval of a number must lie on one side of the claim's limit."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dynatlas._util.arrays import ArrayLike
from dynatlas.atlas.schema import SIGNIFICANT
from dynatlas.atlas.view import AtlasLike, measures
from dynatlas.statistics.resampling import Interval, mean_interval, median_interval
from dynatlas.study.members import FACTORS

HOLDS, DOES_NOT_HOLD, NOT_TESTABLE = "holds", "does not hold", "not testable here"
# An effect below this share of the variance beyond chance is negligible.
NEGLIGIBLE_R2 = 0.1


class Finding(NamedTuple):
    """Verdict on a claim for one task, with the number that decides it, its interval and its source."""

    task: str
    verdict: str
    quantity: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    source: str = ""
    note: str = ""


def untestable(task: str, note: str, quantity: str = "", source: str = "") -> Finding:
    """Return the finding of a claim that cannot be tested."""
    return Finding(task, NOT_TESTABLE, quantity, source=source, note=note)


def below(task: str, quantity: str, value: float, ends: Interval, limit: float, source: str, note: str = "") -> Finding:
    """Test the claim that a number is below a limit."""
    return _on_a_side(task, f"{quantity}; claimed: below {limit:g}", value, ends, limit, source, note, lower=True)


def above(task: str, quantity: str, value: float, ends: Interval, limit: float, source: str, note: str = "") -> Finding:
    """Test the claim that a number is above a limit."""
    return _on_a_side(task, f"{quantity}; claimed: above {limit:g}", value, ends, limit, source, note, lower=False)


def _on_a_side(
    task: str, quantity: str, value: float, ends: Interval, limit: float, source: str, note: str, *, lower: bool
) -> Finding:
    low, high = ends
    if not math.isfinite(value):
        return Finding(task, NOT_TESTABLE, quantity, source=source, note=note or "the number is not defined")
    if math.isnan(low) or low < limit < high:
        why = "the interval contains the limit: more networks are needed"
        return Finding(task, NOT_TESTABLE, quantity, value, low, high, source, f"{note}; {why}" if note else why)
    verdict = HOLDS if (high <= limit if lower else low >= limit) else DOES_NOT_HOLD
    return Finding(task, verdict, quantity, value, low, high, source, note)


def separates(atlas: AtlasLike, task: str, measure: str, factor: str) -> Finding:
    """Test the claim that a factor separates networks.

    It holds if the permutation p, corrected for the number of factors, is significant. Otherwise it does not hold if
    the interval excludes an effect of ``NEGLIGIBLE_R2`` of the variance beyond chance, and is not testable if the
    interval does not.
    """
    return _separation(atlas, task, measure, factor, claimed=True)


def does_not_separate(atlas: AtlasLike, task: str, measure: str, factor: str) -> Finding:
    """Test the opposite claim by the same rule: a p that is not significant does not suffice."""
    return _separation(atlas, task, measure, factor, claimed=False)


def _separation(atlas: AtlasLike, task: str, measure: str, factor: str, *, claimed: bool) -> Finding:
    criterion = (
        f"p < {SIGNIFICANT:g}" if claimed else f"p ≥ {SIGNIFICANT:g}, and less than {NEGLIGIBLE_R2:g} beyond chance"
    )
    quantity = f"R² of {factor} in {measure}; claimed: {criterion}"
    source = f"effects: task={task}, measure={measure}, factor={factor}"
    row = effect(atlas, task, measure, factor)
    if row is None:
        return untestable(task, _why_no_effect(atlas, task, measure, factor), quantity, source)
    note = f"p = {row.p_adjusted:.2g} with {row.n_networks} networks; chance alone gives R² {row.r2_chance:.2f}"
    significant = row.p_adjusted < SIGNIFICANT
    verdict = HOLDS if significant == claimed else DOES_NOT_HOLD
    if not significant and row.r2_high - row.r2_chance >= NEGLIGIBLE_R2:
        verdict, note = NOT_TESTABLE, f"{note}; too few networks to exclude an effect"
    return Finding(task, verdict, quantity, row.r2, row.r2_low, row.r2_high, source, note)


def differs(task: str, quantity: str, groups: Mapping[str, ArrayLike], source: str) -> Finding:
    """Test the claim that a number differs between groups of networks, by a Kruskal–Wallis test."""
    from scipy.stats import kruskal  # takes half a second

    arrays = {name: np.asarray(group, np.float64) for name, group in groups.items()}
    finite = {name: group[np.isfinite(group)] for name, group in arrays.items()}
    values = {name: group for name, group in finite.items() if len(group)}
    quantity = f"largest difference between median {quantity}; claimed: p < {SIGNIFICANT:g}"
    if len(values) < 2 or min(map(len, values.values())) < 2 or np.ptp(np.concatenate(list(values.values()))) == 0:
        return untestable(task, "needs two groups of at least two networks that differ", quantity, source)
    p = float(kruskal(*values.values()).pvalue)
    medians = {name: float(np.median(group)) for name, group in values.items()}
    listed = ", ".join(f"{name} {median:.3g}" for name, median in medians.items())
    # A test that is not significant does not show that the groups are equal.
    return Finding(
        task,
        HOLDS if p < SIGNIFICANT else NOT_TESTABLE,
        quantity,
        max(medians.values()) - min(medians.values()),
        source=source,
        note=f"medians: {listed}; Kruskal–Wallis p = {p:.2g}",
    )


def mean_of(rows: pd.DataFrame, column: str) -> tuple[float, Interval]:
    """Compute the mean over networks of a column's mean in each network, and its interval."""
    values = rows.groupby("network")[column].mean().dropna().to_numpy(float)
    return (float(values.mean()) if len(values) else math.nan), mean_interval(values)


def median_of(rows: pd.DataFrame, column: str) -> tuple[float, Interval]:
    """Compute the median over networks of a column's median in each network, and its interval; robust to outliers."""
    values = rows.groupby("network")[column].median().dropna().to_numpy(float)
    return (float(np.median(values)) if len(values) else math.nan), median_interval(values)


def effect(atlas: AtlasLike, task: str, measure: str, factor: str) -> Any:
    """Return the row of the table ``effects``, or None."""
    rows = atlas.table("effects")
    rows = rows[(rows.task == task) & (rows.measure == measure) & (rows.factor == factor)]
    return next(rows.itertuples(), None)


def of_task(atlas: AtlasLike, table: str, task: str) -> pd.DataFrame:
    """Return a table's rows for the networks of one task, with their factors and seeds."""
    networks = atlas.table("networks")
    networks = networks[networks.task == task][["network", *FACTORS, "seed"]]
    rows = atlas.table(table)
    return rows.drop(columns=[name for name in rows if name in networks and name != "network"]).merge(networks)


def _why_no_effect(atlas: AtlasLike, task: str, measure: str, factor: str) -> str:
    if measure not in measures(atlas, task):
        return f"the networks of this task are not compared by {measure}"
    levels = getattr(atlas.study.population, {"architecture": "architectures", "activation": "activations"}[factor])
    if len(levels) < 2:
        return f"the study has one {factor} only, {levels[0]}"
    return "there are too few networks in this comparison"
