"""The command ``figures``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from dynatlas._io.targets import write_files
from dynatlas.errors import AtlasError, DynatlasError

if TYPE_CHECKING:
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.figures.catalogue import Format


def figures(
    atlas: Annotated[Path, Parameter(help="The atlas folder.")],
    /,
    *,
    only: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    formats: Annotated[
        list[Literal["svg", "pdf", "png"]] | None, Parameter("--format", consume_multiple=True, negative="")
    ] = None,
    out: Path | None = None,
    force: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Draw figures from the stored tables and print their paths. A panel without its analysis shows a note.

    Args:
        atlas: The atlas folder; the run need not be finished.
        only: Names of figures, such as fig2 or performance; by default all.
        formats: svg, pdf, png; by default all three.
        out: A folder outside the atlas to write to; by default report/figures in the atlas.
        force: Replace files of the same names in that folder.
    """
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.figures.catalogue import FORMATS, save_all

    opened = Atlas.open(atlas)
    chosen = formats or FORMATS
    if out is None:
        written = _into_atlas(opened, only, chosen)
    else:
        folder = out.expanduser().absolute()
        if folder.resolve().is_relative_to(opened.path.resolve()):
            raise AtlasError(f"--out {out} is in the atlas; omit --out, or choose a folder outside {atlas}")
        written = _into_folder(folder, save_all(opened, chosen, only), force=force)
    for path in written:
        print(path)


def _into_atlas(atlas: "Atlas", names: list[str] | None, formats: "Sequence[Format]") -> list[Path]:
    """Write figures into the report, and return their paths.

    They are entered in the manifest only if the run has drawn its figures: otherwise they would count as final, and the
    run would not draw them.
    """
    from dynatlas.pipeline.jobs import jobs_of
    from dynatlas.report.page import build_figures

    with atlas.lock():
        files = build_figures(atlas, formats, names)
        entries = [atlas.write_bytes(name, content) for name, content in files.items()]
        complete = atlas.entries
        if all(job.is_done(complete) for job in jobs_of(atlas.study) if job.stage == "report"):
            atlas.enter(*entries)
    return [atlas.path / name for name in files]


def _into_folder(folder: Path, files: dict[str, bytes], *, force: bool) -> list[Path]:
    if folder.exists() and not folder.is_dir():
        raise DynatlasError(f"cannot write to {folder}: it is a file; choose another folder with --out")
    paths = {folder / name: content for name, content in files.items()}
    write_files(paths, force=force)
    return list(paths)
