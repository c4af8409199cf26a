"""Jobs that write the report."""

from pathlib import Path

from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.pipeline.progress import Report

# Number of jobs that share the figures. A job saves its figures in all formats: layout takes as long as saving.
FIGURE_JOBS = 3


def write_page(path: Path, report: Report) -> list[Entry]:
    """Write the report's page."""
    from dynatlas.report.page import build_page

    atlas = Atlas.open(path)
    return [atlas.write_bytes(name, content) for name, content in build_page(atlas).items()]


def draw_figures(path: Path, job: int, report: Report) -> list[Entry]:
    """Draw the share of the figures of one of the ``FIGURE_JOBS`` jobs."""
    from dynatlas.figures.catalogue import pictures
    from dynatlas.report.page import build_figures

    atlas = Atlas.open(path)
    files = build_figures(atlas, names=list(pictures(atlas))[job::FIGURE_JOBS])
    return [atlas.write_bytes(name, content) for name, content in files.items()]
