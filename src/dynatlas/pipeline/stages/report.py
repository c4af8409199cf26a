"""The jobs that write the report."""

from pathlib import Path

from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.pipeline.progress import Report

# The figures are dealt out to so many jobs. Each has its figures in all formats: laying a figure out takes as long as
# saving it.
FIGURE_JOBS = 3


def page(path: Path, report: Report) -> list[Entry]:
    """The report's page."""
    from dynatlas.report.page import build_page

    atlas = Atlas.open(path)
    return [atlas.write_bytes(name, content) for name, content in build_page(atlas).items()]


def figures(path: Path, job: int, report: Report) -> list[Entry]:
    """The share of the figures that falls to one of the ``FIGURE_JOBS`` jobs."""
    from dynatlas.figures.catalogue import pictures
    from dynatlas.report.page import build_figures

    atlas = Atlas.open(path)
    files = build_figures(atlas, names=list(pictures(atlas))[job::FIGURE_JOBS])
    return [atlas.write_bytes(name, content) for name, content in files.items()]
