"""Summary of a study: numbers of networks, shares of the factors, and claims."""

import math
from collections import Counter
from typing import Any, NamedTuple

import pandas as pd

from dynatlas._util.json import Json
from dynatlas._util.messages import count_of, listed, sentence_case
from dynatlas.atlas.schema import SIGNIFICANT, is_no_measure
from dynatlas.atlas.view import AtlasLike, left_out, lost_levels, table, task_title, tasks, varying_factors
from dynatlas.figures.distances import p_text
from dynatlas.figures.looks import factor_label
from dynatlas.measures.findings import given_factors
from dynatlas.measures.registry import measure_label
from dynatlas.statistics.intervals import LEAST_NETWORKS
from dynatlas.study.study import Study


def summary(atlas: AtlasLike) -> Json:
    """Count the networks that were trained, that passed, and that were left out, by reason."""
    networks = table(atlas, "networks")
    lost = [f"{sentence_case(text)} learned it." for text in lost_levels(atlas.study, networks)]
    return {
        "trained": len(networks),
        "tasks": len(set(networks["task"])),
        "passed": int(networks["passed"].sum()),
        "left_out": left_out(networks),
        "sentence": " ".join([_summary_sentence(networks), *lost]),
    }


def _summary_sentence(networks: pd.DataFrame) -> str:
    passed = int(networks["passed"].sum())
    text = (
        f"{count_of(len(networks), 'network')} trained on {count_of(networks['task'].nunique(), 'task')}; "
        f"{passed:,} passed and {'is' if passed == 1 else 'are'} analysed"
    )
    reasons = left_out(networks)
    if not reasons:
        return f"{text}; none was left out."
    counts = "; ".join(f"{count:,} because {reason}" for reason, count in reasons.items())
    return f"{text}; {len(networks) - passed:,} left out: {counts}."


class Share(NamedTuple):
    """Share of the variance of one distance matrix that one factor explains."""

    r2: float
    low: float
    high: float
    p: float  # NaN if not tested
    p_lower: float = math.nan
    chance: float = math.nan

    @property
    def text(self) -> str:
        """Share in percent."""
        return UNKNOWN if math.isnan(self.r2) else f"{_percent(self.r2)} %"

    @property
    def interval(self) -> str:
        """95 % interval, and the share by chance; empty if there is neither."""
        has_ends = not (math.isnan(self.low) or math.isnan(self.high))
        ends = f"{_percent(self.low)} to {_percent(self.high)} %" if has_ends else ""
        chance = "" if math.isnan(self.chance) else f"by chance {_percent(self.chance)} %"
        return ", ".join(filter(None, (ends, chance)))

    @property
    def p_text(self) -> str:
        """p-value with its letter, or that the distance is no measure of difference; empty if not tested."""
        if self.is_no_measure:
            return "no measure of difference"
        return f"p {p_text(self.p)}" if self.is_tested else ""

    @property
    def is_no_measure(self) -> bool:
        """Whether the share was tested and lies below what chance gives."""
        return self.is_tested and is_no_measure(self.r2, self.p_lower)

    @property
    def is_tested(self) -> bool:
        """Whether there is a p-value."""
        return not math.isnan(self.p)

    @property
    def is_chance(self) -> bool:
        """Whether the factor was tested and is not significant."""
        return self.is_tested and not self.is_no_measure and self.p >= SIGNIFICANT


class SharesRow(NamedTuple):
    """Partition of the variance of one distance matrix."""

    task: str
    title: str
    aspect: str
    name: str  # of the measure, in links
    measure: str  # label of the measure
    n_networks: int
    shares: dict[str, Share]  # factor → share

    def test_text(self, factor: str) -> str:
        """Return the p-value of a factor, or why it has none; empty for a part of the variance without a test."""
        return "not tested" if factor in given_factors(self.name) else self.shares[factor].p_text


def sentence(rows: list[SharesRow], factor: str) -> str:
    """State where a factor separates the networks of one task, where not beyond chance, and where distances cannot say.

    Where R² is negative or in the lower tail of its permutations, the distance is no measure of difference between the
    levels, and nothing is said of the factor. The numbers are in the table.
    """
    found: dict[str, list[str]] = {"yes": [], "no": [], "no measure": [], "few": []}
    for row in rows:
        share = row.shares.get(factor)
        if share is not None and share.is_tested:
            names = {
                "geometry": f"{row.measure} geometry",
                "dynamics": f"{row.measure} dynamics",
                "topology": f"{row.measure}s",
            }
            where = names.get(row.aspect, row.aspect)
            kind = "no measure" if share.is_no_measure else "no" if share.is_chance else "yes"
            if kind == "no" and row.n_networks < LEAST_NETWORKS:
                kind = "few"
            found[kind].append(f"{where} (R² {share.text})" if share.is_no_measure else where)
    name = factor_title(factor)
    plural = factor in ("interactions", "units")
    separates = "separate" if plural else "separates"
    yes, no = listed(found["yes"], "and"), listed(found["no"], "or")
    sentences = []
    if yes:
        sentences.append(f"{name} {separates} networks in {yes}" + (f", but not beyond chance in {no}." if no else "."))
    elif no:
        sentences.append(f"{name} {'do' if plural else 'does'} not separate networks beyond chance in {no}.")
    if found["few"]:
        what = f"{name[0].lower()}{name[1:]} {separates} them in {listed(found['few'], 'or')}"
        sentences.append(f"Fewer than {LEAST_NETWORKS} networks cannot tell whether {what}.")
    if found["no measure"]:
        sentences.append(
            f"{name}: by {listed(found['no measure'], 'and')} networks of one kind differ more than networks of "
            "different kinds, so that this distance is no measure of difference between these groups."
        )
    return " ".join(sentences)


def factor_title(factor: str) -> str:
    """Return the name of a factor at the head of a column or sentence.

    Example:
        >>> factor_title("learning_rate"), factor_title("interactions"), factor_title("l2")
        ('Learning rate', 'Interactions', 'L2')
    """
    return sentence_case(factor_label(factor))


def question(study: Study) -> str:
    """Return the question that a study asks of the dynamics: does the task fix them, or do the factors that vary?

    Example:
        >>> question(Study.load("demo"))
        'does the choice of architecture'
    """
    factors = varying_factors(study)
    if "architecture" in factors or len(study.levels[factors[0]]) == 1:
        return "does the choice of architecture"
    verb = "do the factors" if len(factors) > 1 else "does the factor"
    return f"{verb} {listed(map(factor_label, factors), 'and')}"


def differences(study: Study) -> str:
    """Name factors in which networks differ.

    Example:
        >>> differences(Study.load("demo"))
        'architecture, in activation, and so on'
    """
    factors = ", in ".join(map(factor_label, varying_factors(study)))
    return f"{factors}, and so on" if ", " in factors else factors


UNKNOWN = "—"
# Columns of the table ``headline`` in the order of ``Share``.
_COLUMNS = ("r2", "r2_low", "r2_high", "p_adjusted", "p_lower", "r2_chance")


def _percent(share: float) -> str:
    return f"{round(100 * share)}".replace("-", "−")


class Finding(NamedTuple):
    """One row of the table ``claims``, as text."""

    task: str
    verdict: str
    evidence: str
    note: str


class ClaimResult(NamedTuple):
    """A claim and its findings."""

    number: str
    statement: str
    findings: list[Finding]

    @property
    def verdicts(self) -> dict[str, int]:
        """Number of findings with each verdict."""
        return dict(Counter(finding.verdict for finding in self.findings))


def shares(atlas: AtlasLike) -> list[SharesRow]:
    """Return the table ``headline``, one row per distance matrix.

    Raises:
        Missing: the table is not stored.
    """
    stored = table(atlas, "headline")
    rows = []
    for task in tasks(atlas):
        for measure, parts in stored[stored["task"] == task].groupby("measure", sort=False):
            name, first = str(measure), parts.iloc[0]
            found = {
                str(row["factor"]): Share(*(float(row[column]) for column in _COLUMNS)) for _, row in parts.iterrows()
            }
            rows.append(
                SharesRow(
                    task,
                    task_title(atlas.study, task),
                    str(first["aspect"]),
                    name,
                    measure_label(name),
                    int(first["n_networks"]),
                    found,
                )
            )
    return rows


def claim_results(atlas: AtlasLike) -> list[ClaimResult]:
    """Return the claims of the table ``claims``, in its order, with their findings.

    Raises:
        Missing: the table is not stored.
    """
    rows = table(atlas, "claims")
    return [
        ClaimResult(
            str(number),
            str(of_claim["statement"].iloc[0]),
            [_finding(atlas.study, row) for _, row in of_claim.iterrows()],
        )
        for number, of_claim in rows.groupby("claim", sort=False)
    ]


def _finding(study: Study, row: "pd.Series[Any]") -> Finding:
    evidence = str(row["quantity"])
    if not math.isnan(row["value"]):
        evidence += f": {row['value']:.3g}"
    if not (math.isnan(row["low"]) or math.isnan(row["high"])):
        evidence += f" (95 % interval {row['low']:.3g} to {row['high']:.3g})"
    return Finding(task_title(study, str(row["task"])), str(row["verdict"]), evidence, str(row["note"]))
