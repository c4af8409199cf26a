"""Write docs/results.md and docs/findings.md: the texts of templates with the numbers of the published tables.

    python results/pages.py [--check]

Every number comes from results/reproduction, an excerpt of the atlas of the built-in study `reproduction`, or from
results/before_training.csv. With --check nothing is written, and the exit code is 1 if a page is another one.
"""

import argparse
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from dynatlas import Atlas, Study
from dynatlas.atlas.schema import SIGNIFICANT, is_no_measure
from dynatlas.atlas.view import left_out, task_title
from dynatlas.figures.looks import factor_label, level_title
from dynatlas.measures.registry import measure_label
from dynatlas.statistics.intervals import share_interval

HERE = Path(__file__).parent
PUBLISHED, BEFORE, DOCS = HERE / "reproduction", HERE / "before_training.csv", HERE.parent / "docs"
PAGES = ("results.md", "findings.md")

# Fixed points of a flip-flop of three channels by the number of channels at 0, which is that of unstable directions.
KINDS = {"corners": 8, "edges": 12, "faces": 6, "centre": 1}
VERDICTS = ("holds", "does not hold", "not testable here")


class Results:
    """What the template can ask of the tables; every method returns a number, a text, or a table in Markdown."""

    def __init__(self, atlas: Atlas) -> None:
        self.atlas = atlas
        self.study: Study = atlas.study
        self.networks = atlas.table("networks")
        self._before = pd.read_csv(BEFORE)
        self.tasks = [task.name for task in self.study.tasks]
        self.titles = {name: task_title(self.study, name) for name in self.tasks}

    # ── The population ─────────────────────────────────────────────────────────────────────────────────────────────
    def passed(self, **levels: Any) -> str:
        """Return "passed of all" for the networks of these levels."""
        chosen = _of(self.networks, **levels)
        return f"{int(chosen.passed.sum())} of {len(chosen)}"

    def passed_table(self, factor: str) -> str:
        """Return how many networks of each task passed at each level of a factor."""
        levels = self.study.levels[factor]
        rows = [
            [self.titles[task], *(self.passed(task=task, **{factor: level}) for level in levels)] for task in self.tasks
        ]
        return _markdown(["task", *(level_title(factor, level) for level in levels)], rows)

    def failures(self) -> str:
        """Return the reasons for which networks were left out, with their numbers."""
        rows = [
            [self.titles[task], reason, count]
            for task, networks in self.networks.groupby("task", sort=False)
            for reason, count in left_out(networks).items()
        ]
        return _markdown(["task", "reason", "networks"], rows)

    # ── Claims ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def verdicts(self) -> str:
        """Return a row for each claim: how many of its findings have each verdict."""
        rows = []
        for (claim, statement), of_claim in self.atlas.table("claims").groupby(["claim", "statement"], sort=False):
            counts = of_claim.verdict.value_counts()
            rows.append([claim, statement, *(int(counts.get(verdict, 0)) for verdict in VERDICTS)])
        return _markdown(["claim", "statement", *VERDICTS], rows)

    @property
    def claims(self) -> dict[str, str]:
        """Each claim with its statement."""
        table = self.atlas.table("claims")
        return dict(zip(table.claim, table.statement, strict=True))

    def findings(self, claim: str) -> str:
        """Return all findings on a claim, each with its number, interval, p and number of networks."""
        rows = [
            [
                self.titles.get(finding.task, finding.task),
                finding.quantity,
                f"**{finding.verdict}**",
                _interval(finding.value, finding.low, finding.high),
                _p(finding.p_adjusted),
                finding.note,
            ]
            for finding in _of(self.atlas.table("claims"), claim=claim).itertuples()
        ]
        return _markdown(["task", "number, and what is claimed", "verdict", "value [95 % interval]", "p", "note"], rows)

    def finding(self, claim: str, task: str) -> str:
        """Return the number of the first finding on a claim and task, with its interval."""
        row = _of(self.atlas.table("claims"), claim=claim, task=task).iloc[0]
        return _interval(row.value, row.low, row.high, digits=2)

    def finding_in_percent(self, claim: str, task: str) -> str:
        """Return the same of a share."""
        row = _of(self.atlas.table("claims"), claim=claim, task=task).iloc[0]
        return _percent(row.value, row.low, row.high)

    # ── What factors explain ───────────────────────────────────────────────────────────────────────────────────────
    def shares(self, task: str) -> str:
        """Return the share of the variance that each factor explains, by each measure."""
        headline = _of(self.atlas.table("headline"), task=task)
        parts = list(dict.fromkeys(headline.factor))
        rows = []
        for (aspect, measure), of_measure in headline.groupby(["aspect", "measure"], sort=False):
            cells = {row.factor: self._share(row) for row in of_measure.itertuples()}
            rows.append([_named(aspect, measure), *(cells[part] for part in parts), of_measure.n_networks.iloc[0]])
        return _markdown(["distance", *map(factor_label, parts), "n"], rows)

    def share(self, task: str, measure: str, factor: str) -> str:
        """Return one of these shares in percent, with its interval."""
        row = _of(self.atlas.table("headline"), task=task, measure=measure, factor=factor).iloc[0]
        return _percent(row.r2, row.r2_low, row.r2_high)

    def shares_of(self, measure: str, factor: str) -> str:
        """Return these shares of all tasks, without intervals."""
        headline = _of(self.atlas.table("headline"), measure=measure, factor=factor).set_index("task")
        return _listed(headline.r2[self.tasks])

    def largest_share(self, factor: str) -> str:
        """Return the largest share of a factor over all tasks and measures, with its interval and measure."""
        rows = _of(self.atlas.table("headline"), factor=factor)
        row = rows.loc[rows.r2.idxmax()]
        where = f"{measure_label(row.measure)}, {self.titles[row.task].lower()}"
        return f"{_percent(row.r2, row.r2_low, row.r2_high)} ({where})"

    def dispersion(self, task: str, measure: str, factor: str) -> str:
        """Return how many times as spread out the most dispersed level is as the least, with the p of PERMDISP."""
        effects = self.atlas.table("effects")
        row = _of(effects, task=task, measure=measure, factor=factor, subset="all").iloc[0]
        return f"{row.dispersion:.2f} times (p = {row.dispersion_p:.2g})"

    @staticmethod
    def _share(row: Any) -> str:
        mark = ""
        if not pd.isna(row.p_adjusted):
            mark = "†" if is_no_measure(row.r2, row.p_lower) else "*" if row.p_adjusted < SIGNIFICANT else ""
        return _interval(row.r2, row.r2_low, row.r2_high, digits=2) + mark

    # ── Controls ───────────────────────────────────────────────────────────────────────────────────────────────────
    def controls(self) -> str:
        """Return every control of every measure of activity."""
        table = self.atlas.table("controls")
        names = list(dict.fromkeys(table.control))
        rows = []
        for (task, measure), of_measure in table.groupby(["task", "measure"], sort=False):
            cells = {row.control: _interval(row.value, row.low, row.high, digits=2) for row in of_measure.itertuples()}
            rows.append([self.titles[task], measure_label(measure), *(cells.get(name, "–") for name in names)])
        return _markdown(["task", "distance", *names], rows)

    def before_training(self) -> str:
        """Return what factors explain before and after training, as validation/before_training.py found it."""
        table = self._before
        parts = list(dict.fromkeys(table.factor))
        rows = []
        for (task, measure, when), group in table.groupby(["task", "measure", "networks"], sort=False):
            cells = {
                row.factor: f"{row.r2:.2f}" + ("*" if row.p_adjusted < SIGNIFICANT else "")
                for row in group.itertuples()
            }
            name, *options = measure.split()
            distance = " ".join([measure_label(name), *options])
            rows.append([self.titles[task], distance, when, *(cells[part] for part in parts)])
        return _markdown(["task", "distance", "networks", *map(factor_label, parts)], rows)

    def before(self, task: str, measure: str, networks: str, factor: str) -> str:
        """Return one of these shares in percent."""
        row = _of(self._before, task=task, measure=measure, networks=networks, factor=factor).iloc[0]
        return f"{100 * row.r2:.0f} %"

    def before_of(self, measure: str, factor: str) -> str:
        """Return these shares of all tasks before training."""
        table = _of(self._before, measure=measure, networks="before training", factor=factor).set_index("task")
        return _listed(table.r2[self.tasks])

    # ── Fixed points of the flip-flop ──────────────────────────────────────────────────────────────────────────────
    @property
    def _counts(self) -> pd.DataFrame:
        """One row per trained flip-flop: its settings, error, number of roots and certificate."""
        searches = _of(self.atlas.table("searches"), task="flip_flop")
        return searches.merge(self.networks.drop(columns="task"), on="network")

    def certified(self) -> str:
        """Return the certificates of the flip-flops with 27 roots."""
        counts = self._counts
        kinds = counts.certificate[counts.n_roots == sum(KINDS.values())].value_counts()
        return ", ".join(f"{count} {kind}" for kind, count in kinds.items())

    def certificates(self) -> str:
        """Return how many searches of each task have each certificate."""
        searches = self.atlas.table("searches")
        counts = searches.groupby(["task", "certificate"], sort=False).size().unstack(fill_value=0)
        rows = [[self.titles[task], *row] for task, row in zip(counts.index, counts.to_numpy(), strict=True)]
        return _markdown(["task", *counts.columns], rows)

    def root_numbers(self, most: int = 8) -> str:
        """Return the most frequent numbers of roots of the trained flip-flops, by activation."""
        counts = self._counts
        frequent = counts.n_roots.value_counts().index[:most]
        activations = list(dict.fromkeys(counts.activation))
        rows = [
            [number, *(int(((counts.n_roots == number) & (counts.activation == name)).sum()) for name in activations)]
            for number in frequent
        ]
        others = counts[~counts.n_roots.isin(frequent)]
        rows.append(["others", *(int((others.activation == name).sum()) for name in activations)])
        return _markdown(["fixed points", *activations], rows)

    def off_mode(self, factor: str) -> str:
        """Return the share of networks without 27 roots at each level of a factor, and the errors of both kinds."""
        rows = []
        for level, group in self._counts.groupby(factor, sort=False):
            is_off = group.n_roots != sum(KINDS.values())
            low, high = share_interval(is_off)
            errors = [f"{group.mse[chosen].median():.2g}" if chosen.any() else "–" for chosen in (~is_off, is_off)]
            rows.append(
                [
                    level_title(factor, level),
                    len(group),
                    _percent(float(is_off.mean()), low, high),
                    *errors,
                ]
            )
        return _markdown(
            [factor_label(factor), "networks", "not 27 fixed points", "their median MSE: 27", "another number"], rows
        )

    def formation(self) -> str:
        """Return how the fixed points of the flip-flop form: medians over networks at each snapshot."""
        errors = _of(self.atlas.table("snapshots"), task="flip_flop")
        points = _of(self.atlas.table("snapshot_points"), task="flip_flop")
        points = points[~points.is_slow]
        kinds = list(KINDS)
        zeros = np.array([(np.abs(readout) < 0.5).sum() for readout in points.readout], int)
        patterns = [str(np.sign(np.where(np.abs(readout) < 0.5, 0, readout)).astype(int)) for readout in points.readout]
        points = points.assign(kind=np.array(kinds)[zeros], pattern=patterns)
        # A kind counts by its places: points that read out the same are one.
        found = points.groupby(["network", "iteration", "kind"]).pattern.nunique().unstack(fill_value=0)
        roots = points.groupby(["network", "iteration"]).size()
        table = errors.set_index(["network", "iteration"]).join(found).join(roots.rename("roots")).fillna(0.0)
        rows = []
        for iteration, group in table.groupby(level="iteration"):
            medians = [f"{group[kind].median():.0f}" for kind in kinds]
            rows.append(
                [
                    iteration,
                    len(group),
                    f"{group.mse.median():.2g}",
                    *medians,
                    f"{group.roots.median():.0f}",
                    int((group.roots == 27).sum()),
                ]
            )
        heads = [f"{kind} of {count}" for kind, count in KINDS.items()]
        return _markdown(["iteration", "networks", "MSE", *heads, "all roots", "networks with 27"], rows)

    def formed_by(self, iteration: int) -> str:
        """Return how many of the followed flip-flops have 27 roots at a snapshot."""
        searches = _of(self.atlas.table("snapshot_searches"), task="flip_flop", iteration=iteration)
        return f"{int((searches.n_roots == sum(KINDS.values())).sum())} of {len(searches)}"

    def first_complete(self) -> str:
        """Return the first snapshot at which each followed flip-flop has 27 roots."""
        searches = _of(self.atlas.table("snapshot_searches"), task="flip_flop")
        complete = searches[searches.n_roots == sum(KINDS.values())].groupby("network").iteration.min()
        followed = self.networks.set_index("network").loc[searches.network.unique()]
        rows = [
            [f"{network.architecture} {network.activation}", complete.get(name, "never"), f"{network.mse:.2g}"]
            for name, network in followed.iterrows()
        ]
        return _markdown(["network", "27 fixed points from iteration", "MSE at the end"], rows)

    def trained_flip_flops(self) -> int:
        """Return the number of flip-flops that learned."""
        return len(self._counts)

    def off_mode_count(self) -> int:
        """Return the number of those that do not have 27 roots."""
        return int((self._counts.n_roots != sum(KINDS.values())).sum())

    def off_mode_networks(self) -> str:
        """Return the flip-flops that do not have 27 roots."""
        counts = self._counts
        rows = [
            [
                f"{one.architecture} {one.activation}, {one.units} units, {level_title('l2', one.l2)}, seed {one.seed}",
                one.n_roots,
                one.n_stable,
                f"{one.mse:.2g}",
                one.certificate,
            ]
            for one in counts[counts.n_roots != sum(KINDS.values())].itertuples()
        ]
        return _markdown(["network", "fixed points", "stable", "MSE", "certificate"], rows)

    # ── Line attractors ────────────────────────────────────────────────────────────────────────────────────────────
    def unstable_integrators(self, radius: float = 1.25) -> str:
        """Return the integrators with a strongly unstable point on the line, in either context."""
        lines = self.atlas.table("line_attractors").merge(self.networks, on="network")
        rows = [
            [
                f"{one.architecture} {one.activation}, {one.units} units, {level_title('l2', one.l2)}, seed {one.seed}",
                one.condition_name,
                f"{one.spectral_radius:.2f}",
                f"{one.length_to_width:.1f}",
                f"{one.response_median:.3g}",
                f"{one.r2:.4f}",
            ]
            for one in lines[lines.spectral_radius > radius].itertuples()
        ]
        return _markdown(
            ["network", "context", "mean of the largest |λ|", "length to width", "linear response", "R²"], rows
        )

    # ── Activity ───────────────────────────────────────────────────────────────────────────────────────────────────
    def medians(self, column: str, factor: str, table: str = "activity") -> str:
        """Return the median of a column of a table of networks at each level of a factor, by task."""
        rows = self.atlas.table(table)
        rows = rows[["network", column]].merge(self.networks[self.networks.passed], on="network")
        levels = self.study.levels[factor]
        cells = [
            [task, *(_median(_of(rows, task=task, **{factor: level})[column]) for level in levels)]
            for task in self.tasks
        ]
        return _markdown(["task", *(level_title(factor, level) for level in levels)], cells)


def _named(aspect: str, measure: str) -> str:
    label = measure_label(measure)
    return aspect if aspect == measure else f"{aspect}: {label}"


def _of(table: pd.DataFrame, **levels: Any) -> pd.DataFrame:
    for name, level in levels.items():
        table = table[table[name] == level]
    return table


def _interval(value: float, low: float, high: float, digits: int = 3) -> str:
    if pd.isna(value):
        return "–"

    def text(number: float) -> str:
        return f"{number:.{digits}f}" if digits == 2 else f"{number:.{digits}g}"

    return text(value) if math.isnan(low) else f"{text(value)} [{text(low)}, {text(high)}]"


def _percent(value: float, low: float, high: float) -> str:
    return f"{100 * value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def _median(values: "pd.Series[float]") -> str:
    return f"{values.median():.2f}" if len(values) else "–"


def _listed(shares: Iterable[float]) -> str:
    *most, last = (f"{100 * share:.0f}" for share in shares)
    return f"{', '.join(most)} and {last} %"


def _p(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.2g}"


def _markdown(heads: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table; | in a cell is escaped."""

    def line(cells: Iterable[Any]) -> str:
        return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"

    heads = list(heads)
    return "\n".join([line(heads), "|" + "---|" * len(heads), *(line(row) for row in rows)])


def pages() -> dict[str, str]:
    """Return the text of each page."""
    environment = jinja2.Environment(  # noqa: S701 - Markdown
        loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    results = Results(Atlas.open(PUBLISHED))
    public: dict[str, Any] = {name: getattr(results, name) for name in dir(results) if name[0] != "_"}
    return {name: environment.get_template(f"{name}.jinja").render(public) for name in PAGES}


def main() -> None:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is another one")
    check = parser.parse_args().check
    for name, text in pages().items():
        if not check:
            (DOCS / name).write_text(text, encoding="utf-8")
        elif (DOCS / name).read_text(encoding="utf-8") != text:
            sys.exit(f"docs/{name} is another one; run: python results/pages.py")


if __name__ == "__main__":
    main()
