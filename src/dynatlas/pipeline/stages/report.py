"""Jobs that write the report."""

from pathlib import Path

from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.pipeline.progress import Report

# Number of jobs that share the figures of the paper. The other figures are drawn on demand.
FIGURE_JOBS = 3


def write_page(path: Path, report: Report) -> list[Entry]:
    """Write the report's page."""
    from dynatlas.report.page import build_page

    atlas = Atlas.open(path)
    return [atlas.write_bytes(name, content) for name, content in build_page(atlas).items()]


def draw_figures(path: Path, job: int, report: Report) -> list[Entry]:
    """Draw the share of the paper's figures of one of the ``FIGURE_JOBS`` jobs."""
    from dynatlas.figures.catalogue import DRAWN_FORMATS, PAPER
    from dynatlas.report.page import build_figures

    atlas = Atlas.open(path)
    files = build_figures(atlas, DRAWN_FORMATS, list(PAPER)[job::FIGURE_JOBS])
    return [atlas.write_bytes(name, content) for name, content in files.items()]
