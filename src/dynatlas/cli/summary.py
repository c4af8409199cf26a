"""Terminal output of an atlas' results: the headline table, the claims, and the path of the report."""

import textwrap
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from dynatlas._util.messages import duration
from dynatlas.atlas.atlas import Atlas
from dynatlas.atlas.schema import SIGNIFICANT, is_no_measure
from dynatlas.atlas.view import left_out, lost_levels
from dynatlas.measures.aspects import ASPECTS
from dynatlas.measures.findings import given_factors

# What the factors leave, after them in the table.
_RESTS = ("shared", "interactions", "seed")


def print_summary(atlas: Atlas, console: Console) -> None:
    """Print how many networks passed, how much each factor explains, and the verdicts on the claims."""
    networks, headline, claims = (atlas.table(name) for name in ("networks", "headline", "claims"))
    passed = int(networks.passed.sum())
    console.print(f"\n{atlas.study.name}: {passed} of {len(networks)} networks learned their task", markup=False)
    for reason, count in left_out(networks).items():
        console.print(f"  left out: {count} × {reason}", markup=False)
    for sentence in lost_levels(atlas.study, networks):
        console.print(f"  {sentence} learned it, so that these are compared with nothing", markup=False)
    if len(headline):
        console.print("\nShare of the variance between networks that each factor adds to the others (R²).")
        console.print(f"*: more than by chance, p < {SIGNIFICANT:g}, corrected for the number of tests.")
        console.print("†: less than by chance: this distance is no measure of difference between the kinds.")
        console.print("‡: not tested, as the factor decides which weights are compared.")
        console.print("shared: explained by factors together. seed: unexplained by the factors.\n")
        console.print(headline_table(headline))
    counts = claims.verdict.value_counts()
    listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    console.print(f"\nclaims of the literature: {listed} (dynatlas claims {atlas.path})", soft_wrap=True, markup=False)
    for line in times(atlas.provenance):
        console.print(line, soft_wrap=True, markup=False)
    report = (atlas.path / "report" / "index.html").resolve()
    console.print(f"report: {report}", soft_wrap=True, markup=False)


def times(provenance: Mapping[str, Any]) -> Iterator[str]:
    """Yield how long the last run took, and its workers' time by stage."""
    runs = provenance.get("runs") or []
    if not runs:
        return
    last = runs[-1]
    begun, ended = (datetime.fromisoformat(last[when]) for when in ("started", "finished"))
    stages = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in last["worker_seconds"].items() if seconds)
    yield f"time: {duration((ended - begun).total_seconds())}; of all workers: {stages or 'none'}"


def headline_table(headline: pd.DataFrame) -> Table:
    """Return the table ``headline``: for each task a row for each distance matrix, geometry before topology."""
    factors = [name for name in dict.fromkeys(headline.factor) if name not in _RESTS]
    columns = [*factors, *(name for name in _RESTS if name in set(headline.factor))]
    heads = (name.replace("interactions", "inter-\nactions") for name in columns)  # 80 columns are few
    table = Table("", *heads, box=None, pad_edge=False)
    for task in dict.fromkeys(headline.task):
        table.add_row(task)
        of_task = headline[headline.task == task]
        for aspect in ASPECTS:
            for measure, rows in of_task[of_task.aspect == aspect].groupby("measure", sort=False):
                cells = {row.factor: _cell(row) for row in rows.itertuples()}
                table.add_row(f"  {_short(str(measure), aspect)}", *(cells.get(name, "–") for name in columns))
    return table


def print_claims(atlas: Atlas, console: Console) -> None:
    """Print every claim with its numbers, their intervals, thresholds and sources."""
    for (number, statement), findings in atlas.table("claims").groupby(["claim", "statement"], sort=False):
        console.print(f"\n{number}  {statement}", markup=False, style="bold")
        rows: Any = findings.itertuples()
        for finding in rows:
            console.print(f"   {finding.verdict:<18} {finding.task}: {_number(finding)}", markup=False, soft_wrap=True)
            for text in (finding.quantity, finding.note, finding.source and f"from {finding.source}"):
                if text:
                    console.print(textwrap.indent(textwrap.fill(text, 90), " " * 22), markup=False, soft_wrap=True)


def _short(measure: str, aspect: str) -> str:
    """Return aspect and measure, short enough for the table to fit into a terminal of 80 columns."""
    if aspect != "topology":
        return aspect if measure == aspect else f"{aspect}: {measure}"
    return f"{aspect}: " + measure.replace("_", " ").removesuffix(" graph").replace("transition structure", "structure")


def _cell(row: Any) -> str:
    """Format a share with the mark of its test; p is NaN without a test."""
    if row.factor in given_factors(row.measure):
        return f"{row.r2:.2f}‡"
    is_tested = not pd.isna(row.p_adjusted)
    if is_tested and is_no_measure(row.r2, row.p_lower):
        return f"{row.r2:.2f}†"
    return f"{row.r2:.2f}{'*' if row.p_adjusted < SIGNIFICANT else ''}"


def _number(finding: Any) -> str:
    if pd.isna(finding.value):
        return "no number"
    ends = "" if pd.isna(finding.low) else f" [{finding.low:.3g}, {finding.high:.3g}]"
    return f"{finding.value:.3g}{ends}"
