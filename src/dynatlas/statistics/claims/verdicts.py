"""Decision rules for claims: a 95 % interval on one side of a limit, or a test corrected for all tests of the table."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dynatlas.atlas.schema import SIGNIFICANT, is_no_measure
from dynatlas.atlas.view import AtlasLike, measures
from dynatlas.statistics.effects import ALL, holm, subsets_of
from dynatlas.statistics.intervals import (
    LEAST_NETWORKS,
    Interval,
    mean_interval,
    median_interval,
    share_interval,
)
from dynatlas.statistics.labels import codes
from dynatlas.statistics.partition import INTERACTIONS
from dynatlas.statistics.permanova import is_exchangeable, value_test

HOLDS, DOES_NOT_HOLD, NOT_TESTABLE = "holds", "does not hold", "not testable here"
# An effect below this share of the variance beyond chance is negligible.
NEGLIGIBLE_R2 = 0.1
MAJORITY = 0.5  # share of networks that are "most"
NO_MEASURE = "this distance is no measure of difference between these groups"
_TOO_FEW = f"a verdict needs at least {LEAST_NETWORKS}"


class Finding(NamedTuple):
    """Verdict on a claim for one task, with the number that decides it, its interval and its source.

    Attributes:
        task: the task.
        verdict: holds, does not hold, or not testable here.
        quantity: what the number is, and what is claimed of it.
        value: the number; NaN if there is none.
        low: lower end of its interval; NaN if there is none.
        high: upper end.
        source: the table rows or arrays it came from.
        note: what decided, what was left out, or why it cannot be tested.
        p: p-value of the test that decides; NaN if an interval does.
        p_adjusted: the same, corrected for all tests of the table (``corrected``).
        otherwise: verdict if p is not significant.
    """

    task: str
    verdict: str
    quantity: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    source: str = ""
    note: str = ""
    p: float = math.nan
    p_adjusted: float = math.nan
    otherwise: str = ""

    def tested(self, p: float, otherwise: str) -> "Finding":
        """Return the finding with the verdict of a test: its own if p is significant, or another one."""
        verdict = self.verdict if p < SIGNIFICANT else otherwise
        return self._replace(verdict=verdict, p=p, p_adjusted=p, otherwise=otherwise)


def corrected(findings: Sequence[Finding]) -> list[Finding]:
    """Correct the p-values of a table of findings for the number of tests, and revise the verdicts (``holm``)."""
    tests = [place for place, finding in enumerate(findings) if not math.isnan(finding.p)]
    revised = list(findings)
    for place, p in zip(tests, holm([findings[place].p for place in tests]), strict=True):
        finding = findings[place]
        note = f"{finding.note}; p = {finding.p:.2g}, corrected for {len(tests)} tests {p:.2g}"
        verdict = finding.verdict if p < SIGNIFICANT else finding.otherwise
        revised[place] = finding._replace(verdict=verdict, p_adjusted=p, note=note)
    return revised


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
        why = f"no interval: {_TOO_FEW} networks that differ" if math.isnan(low) else why
        return Finding(task, NOT_TESTABLE, quantity, value, low, high, source, f"{note}; {why}" if note else why)
    verdict = HOLDS if (high <= limit if lower else low >= limit) else DOES_NOT_HOLD
    return Finding(task, verdict, quantity, value, low, high, source, note)


def separates(atlas: AtlasLike, task: str, measure: str, factor: str, subset: str = ALL) -> Finding:
    """Test the claim that a factor separates networks.

    It holds if the permutation p of the factor is significant. Otherwise it does not hold if the intervals exclude that
    the factor or the interactions explain ``NEGLIGIBLE_R2`` of the variance more than by chance, and is not testable
    here if they do not. A negative R², or one in the lower tail of its permutations, decides nothing: the distance is
    then no measure of difference between these groups.
    """
    return _separation(atlas, task, measure, factor, subset, claimed=True)


def does_not_separate(atlas: AtlasLike, task: str, measure: str, factor: str, subset: str = ALL) -> Finding:
    """Test the opposite claim by the same rule: a p that is not significant does not suffice.

    It does not hold if the factor or the interactions are significant, and holds if both are negligible.
    """
    return _separation(atlas, task, measure, factor, subset, claimed=False)


def among_all_and_subsets(
    test: Callable[[AtlasLike, str, str, str, str], Finding], atlas: AtlasLike, task: str, measure: str, factor: str
) -> Iterator[Finding]:
    """Test a factor among all networks, and among the subsets in which it is tested (``subsets_of``)."""
    yield test(atlas, task, measure, factor, ALL)
    for subset in subsets_of(atlas.study.levels):
        if factor in subset.tested:
            yield test(atlas, task, measure, factor, subset.name)


def _separation(atlas: AtlasLike, task: str, measure: str, factor: str, subset: str, *, claimed: bool) -> Finding:
    small = f"less than {NEGLIGIBLE_R2:g} beyond chance, alone and in interactions"
    among = "" if subset == ALL else f" among {subset} networks"
    quantity = f"R² of {factor} in {measure}{among}; claimed: " + (f"p < {SIGNIFICANT:g}" if claimed else small)
    source = f"effects: task={task}, measure={measure}, factor={factor}" + (f", subset={subset}" if among else "")
    main, interactions = (effect(atlas, task, measure, name, subset) for name in (factor, INTERACTIONS))
    if main is None:
        return untestable(task, _why_no_effect(atlas, task, measure, factor), quantity, source)
    if main.n_networks < LEAST_NETWORKS:
        return untestable(task, f"{main.n_networks} networks; {_TOO_FEW}", quantity, source)
    finding = Finding(task, NOT_TESTABLE, quantity, main.r2, main.r2_low, main.r2_high, source)
    rows = [main] if claimed or interactions is None else [main, interactions]
    if is_no_measure(main.r2, main.p_lower):
        return finding._replace(note=f"{NO_MEASURE}: networks of one group differ more than those of different groups")
    if main.r2 == main.r2_high == 0:
        return finding._replace(verdict=DOES_NOT_HOLD if claimed else HOLDS, note="all networks are the same")
    tested = (f"{row.factor}: R² {row.r2:.2f}, by chance {row.r2_chance:.2f}, p = {row.p:.2g}" for row in rows)
    note = f"{' and '.join(tested)}; {main.n_networks} networks"
    is_negligible = _is_negligible(main) and (interactions is None or _is_negligible(interactions))
    otherwise = (DOES_NOT_HOLD if claimed else HOLDS) if is_negligible else NOT_TESTABLE
    p = min(1.0, len(rows) * min(row.p for row in rows))
    return finding._replace(verdict=HOLDS if claimed else DOES_NOT_HOLD, note=note).tested(p, otherwise)


def _is_negligible(row: Any) -> bool:
    """Whether the interval excludes an effect; False without an interval, or if the distance is no measure of it."""
    return bool(row.r2_high - row.r2_chance < NEGLIGIBLE_R2) and not is_no_measure(row.r2, row.p_lower)


def differs(
    atlas: AtlasLike, task: str, quantity: str, rows: pd.DataFrame, column: str, factor: str, source: str
) -> Finding:
    """Test the claim that a number differs between the levels of a factor, by permutations within all other factors.

    It holds if p is significant; otherwise it is not testable here, since that does not show that the levels are equal.

    Args:
        atlas: the atlas, whose study names the factors.
        task: the task.
        quantity: what the number is.
        rows: one row per network, with its factors.
        column: the number; networks for which it is not finite are left out.
        factor: the factor.
        source: the table it comes from.
    """
    quantity = f"largest difference between mean {quantity}; claimed: p < {SIGNIFICANT:g}"
    rows = rows[np.isfinite(rows[column].to_numpy(np.float64))]
    factors = [name for name in atlas.study.levels if name in rows]
    levels, others = codes(rows[factor]), [codes(rows[name]) for name in factors if name != factor]
    values = rows[column].to_numpy(np.float64)
    if len(rows) < LEAST_NETWORKS or not is_exchangeable(levels, others) or np.ptp(values) == 0:
        why = f"needs networks that differ, of two levels of {factor} and alike in all other factors; {_TOO_FEW}"
        return untestable(task, why, quantity, source)
    means = rows.groupby(factor, sort=False)[column].mean()
    listed = ", ".join(f"{level} {mean:.3g}" for level, mean in means.items())
    value = float(means.max() - means.min())
    finding = Finding(task, HOLDS, quantity, value, source=source, note=f"means: {listed}")
    return finding.tested(value_test(values, levels, others).p, NOT_TESTABLE)


def mean_of(rows: pd.DataFrame, column: str) -> tuple[float, Interval]:
    """Compute the mean over networks of a column's mean in each network, and its interval."""
    values = rows.groupby("network")[column].mean().dropna().to_numpy(float)
    return (float(values.mean()) if len(values) else math.nan), mean_interval(values)


def share_of(rows: pd.DataFrame, column: str) -> tuple[float, Interval]:
    """Compute the mean over networks of a share in each network, such as that of its commands, and its interval."""
    values = rows.groupby("network")[column].mean().dropna().to_numpy(float)
    return (float(values.mean()) if len(values) else math.nan), share_interval(values)


def median_of(rows: pd.DataFrame, column: str) -> tuple[float, Interval]:
    """Compute the median over networks of a column's median in each network, and its interval; robust to outliers."""
    values = rows.groupby("network")[column].median().dropna().to_numpy(float)
    return (float(np.median(values)) if len(values) else math.nan), median_interval(values)


def effect(atlas: AtlasLike, task: str, measure: str, factor: str, subset: str = ALL) -> Any:
    """Return the row of the table ``effects`` for all networks or a subset of them, or None."""
    rows = atlas.table("effects")
    rows = rows[(rows.task == task) & (rows.measure == measure) & (rows.factor == factor) & (rows.subset == subset)]
    return next(rows.itertuples(), None)


def of_task(atlas: AtlasLike, table: str, task: str) -> pd.DataFrame:
    """Return a table's rows for the networks of one task, with their factors and seeds."""
    networks = atlas.table("networks")
    networks = networks[networks.task == task][["network", *atlas.study.levels, "seed"]]
    rows = atlas.table(table)
    return rows.drop(columns=[name for name in rows if name in networks and name != "network"]).merge(networks)


def _why_no_effect(atlas: AtlasLike, task: str, measure: str, factor: str) -> str:
    if measure not in measures(atlas, task):
        return f"the networks of this task are not compared by {measure}"
    levels = atlas.study.levels[factor]
    if len(levels) < 2:
        return f"the study has one {factor} only, {levels[0]}"
    return "there are too few networks in this comparison"
