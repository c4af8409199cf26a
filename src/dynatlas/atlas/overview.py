"""Summary of an atlas for terminals and notebooks."""

import math
from collections.abc import Callable, Iterable, Set
from pathlib import Path

import pandas as pd

from dynatlas._util.display import Summary
from dynatlas.atlas.schema import SIGNIFICANT, is_no_measure
from dynatlas.errors import AtlasError
from dynatlas.study.study import Study


def overview(study: Study, path: Path, names: Set[str], table: Callable[[str], pd.DataFrame]) -> Summary:
    """Summarize an atlas with these entries; ``table`` reads one of its tables."""
    rows = [("folder", str(path)), ("tasks", ", ".join(task.name for task in study.tasks))]
    counts = _stages(study, names)
    finished = all(done == total for _, done, total in counts)
    try:
        rows += [("networks", _networks(study, names, table)), ("done", _listed(counts))]
        rows += _headline(names, table)
    except AtlasError as error:
        return damaged(study, path, error)
    following = (
        'atlas.table("networks"), atlas.network(ID), or open report/index.html in a browser'
        if finished
        else f'dynatlas.run("{path / "study.toml"}", "{path}") resumes'
    )
    return Summary(f"Atlas of {study.name!r}", tuple(rows), following)


def damaged(study: Study, path: Path, error: AtlasError) -> Summary:
    """Summarize an atlas that cannot be read."""
    return Summary(f"Atlas of {study.name!r}", (("folder", str(path)), ("damaged", str(error))))


def _networks(study: Study, names: Set[str], table: Callable[[str], pd.DataFrame]) -> str:
    """How many have passed, or of an atlas that is not so far, have been trained."""
    if "tables/networks.parquet" in names:
        networks = table("networks")
        return f"{int(networks.passed.sum()):,} of {len(networks):,} learned their task"
    blocks = [members for block, members in study.blocks.items() if f"networks/{block.name}.safetensors" in names]
    return f"{sum(map(len, blocks)):,} of {len(study.members):,} trained"


def _stages(study: Study, names: Set[str]) -> list[tuple[str, int, int]]:
    """(stage, done, of): what a reader would ask for, by what is complete."""
    distances = [f"arrays.zarr/distances/{matrix.task}/{matrix.measure}" for matrix in study.matrices]
    return [
        _counted("training", names, (f"networks/{block.name}.safetensors" for block in study.blocks)),
        _counted("fixed points", names, (f"parts/searches/{block.name}.parquet" for block in study.blocks)),
        _counted("distances", names, distances),
        _counted("tables", names, (f"tables/{name}.parquet" for name in ("networks", "headline", "claims"))),
        _counted("report", names, ["report/index.html"]),
    ]


def _counted(stage: str, names: Set[str], wanted: Iterable[str]) -> tuple[str, int, int]:
    found = [name in names for name in wanted]
    return stage, sum(found), len(found)


def _listed(counts: list[tuple[str, int, int]]) -> str:
    """The stages with something done; those with something left say how much."""
    said = [stage if done == total else f"{stage} ({done:,} of {total:,})" for stage, done, total in counts if done]
    return ", ".join(said) or "nothing yet"


def _headline(names: Set[str], table: Callable[[str], pd.DataFrame]) -> list[tuple[str, str]]:
    """The share of the variance that each factor explains, by the first measure of each aspect of each task."""
    if "tables/headline.parquet" not in names:
        return []
    headline, rows = table("headline"), []
    for task, of_task in headline.groupby("task", sort=False):
        firsts = of_task.drop_duplicates("aspect")[["aspect", "measure"]]
        for aspect, measure in firsts.itertuples(index=False, name=None):
            of_matrix = of_task[(of_task.aspect == aspect) & (of_task.measure == measure)]
            shares = of_matrix[["factor", "r2", "p_adjusted", "p_lower"]].itertuples(index=False, name=None)
            marked = (f"{factor} {round(r2, 2) + 0.0:.2f}{_mark(r2, *p_values)}" for factor, r2, *p_values in shares)
            rows.append((str(task), f"{measure}: {', '.join(marked)}"))
    legend = f"(R² of each factor; * p < {SIGNIFICANT:g}; † no measure of difference between the kinds)"
    return [*rows, ("", legend)] if rows else []


def _mark(r2: float, p: float, p_lower: float) -> str:
    """Mark a share by its test; p is NaN without a test."""
    if not math.isnan(p) and is_no_measure(r2, p_lower):
        return "†"
    return "*" if p < SIGNIFICANT else ""
