"""The jobs that write the report."""

from pathlib import Path
from typing import Literal

from dynatlas.progress import Report
from dynatlas.store import Atlas, Entry


def page(path: Path, report: Report) -> list[Entry]:
    """The report's page."""
    from dynatlas.report import build_page

    atlas = Atlas.open(path)
    return [atlas.write_bytes(name, content) for name, content in build_page(atlas).items()]


def figures(path: Path, file_format: Literal["svg", "pdf", "png"], report: Report) -> list[Entry]:
    """All figures in one format."""
    from dynatlas.report import build_figures

    atlas = Atlas.open(path)
    return [atlas.write_bytes(name, content) for name, content in build_figures(atlas, [file_format]).items()]
