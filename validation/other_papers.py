"""The results of the studies of other papers, as the tables of docs/other-papers.md.

    dynatlas run kurtkaya atlases/kurtkaya
    python validation/other_papers.py atlases/kurtkaya …

For each atlas: how many networks learned their task, the share of the variance between networks that each factor adds
to the others, the mean distance between seeds at each level, and how many networks reach a cycle at each level.
"""

import argparse
from collections.abc import Iterator, Sequence

import pandas as pd

from dynatlas import Atlas
from dynatlas.atlas.schema import SIGNIFICANT, is_no_measure
from dynatlas.statistics.intervals import share_interval

CYCLES = ("closed orbit", "invariant curve")


def main() -> None:
    """Print the tables of every atlas on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("atlases", nargs="+")
    parser.add_argument("--measures", nargs="+", help="measures to show; by default all")
    given = parser.parse_args()
    for path in given.atlases:
        print("\n".join(report(Atlas.open(path), given.measures)))


def report(atlas: Atlas, measures: Sequence[str] | None = None) -> Iterator[str]:
    """Yield the lines of an atlas."""

    def shown(rows: pd.DataFrame) -> pd.DataFrame:
        return rows if measures is None else rows[rows.measure.isin(measures)]

    networks = atlas.table("networks")
    factors = [factor for factor, levels in atlas.study.levels.items() if len(levels) > 1]
    yield f"\n## {atlas.study.name}: {networks.passed.sum()} of {len(networks)} networks learned their task\n"
    yield from learned(networks, factors)
    yield from shares(shown(atlas.table("headline")))
    yield from spread(shown(atlas.table("spread")), factors)
    yield from attractors(atlas, factors)


def learned(networks: pd.DataFrame, factors: Sequence[str]) -> Iterator[str]:
    """Yield how many networks of each combination learned their task, if some did not."""
    if networks.passed.all() or not factors:
        return
    *rows, columns = factors
    kept = ["task", *rows] if networks.task.nunique() > 1 else rows
    counts = networks.pivot_table(index=kept or "task", columns=columns, values="passed", aggfunc="sum")
    yield from table("Networks that learned, of each kind", counts.reset_index(), columns)


def shares(headline: pd.DataFrame) -> Iterator[str]:
    """Yield R² of every part; * is p < 0.05, corrected, and † a distance that is no measure of difference."""
    marked = headline.assign(
        r2=[
            f"{row.r2:.2f}" + ("†" if is_no_measure(row.r2, row.p_lower) else "*" * (row.p_adjusted < SIGNIFICANT))
            for row in headline.itertuples()
        ]
    )
    order = list(dict.fromkeys(headline.factor))
    wide = marked.pivot_table(index=["task", "measure"], columns="factor", values="r2", aggfunc="first", sort=False)
    yield from table("Share of the variance between networks (R²)", wide[order].reset_index())


def spread(rows: pd.DataFrame, factors: Sequence[str]) -> Iterator[str]:
    """Yield the mean distance between networks that differ in the seed alone, with its interval."""
    cells = [f"{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in rows.itertuples(index=False)]
    rows = rows.assign(level=rows.factor + " " + rows.level, value=cells)
    rows = rows[rows.factor.isin(["all", *factors])]
    wide = rows.pivot_table(index="level", columns=["task", "measure"], values="value", aggfunc="first", sort=False)
    wide.columns = [", ".join(names) for names in wide.columns]
    yield from table("Distance between seeds", wide.reset_index())


def attractors(atlas: Atlas, factors: Sequence[str]) -> Iterator[str]:
    """Yield the share of networks that end on a cycle under the first condition, with Wilson's interval."""
    rows = atlas.table("attractors")
    rows = rows[rows.condition == 0].merge(atlas.table("networks")[["network", *factors]], on="network")
    found = []
    for task, of_task in rows.groupby("task", sort=False):
        for factor in factors:
            for level, some in of_task.groupby(factor, sort=False):
                share = some.kind.isin(CYCLES).astype(float)
                low, high = share_interval(share.to_numpy())
                cell = f"{share.mean():.2f} [{low:.2f}, {high:.2f}] of {len(some)}"
                found.append({"task": task, "level": f"{factor} {level}", "on a cycle": cell})
    yield from table("Networks that end on a cycle under the first static input", pd.DataFrame(found))


def table(title: str, rows: pd.DataFrame, heading: str = "") -> Iterator[str]:
    """Yield a table in Markdown."""
    heading = f", by {heading}" if heading else ""
    yield f"\n{title}{heading}:\n"
    yield "| " + " | ".join(map(str, rows.columns)) + " |"
    yield "|" + "---|" * rows.shape[1]
    yield from ("| " + " | ".join(map(str, row)) + " |" for row in rows.itertuples(index=False, name=None))


if __name__ == "__main__":
    main()
