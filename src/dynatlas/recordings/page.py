"""Self-contained HTML page of recordings among networks, in the style of an atlas' report."""

import json
from pathlib import Path
from typing import Any, Final

from dynatlas._io.atomic import publish, temporary_beside
from dynatlas.atlas.view import task_title
from dynatlas.errors import NetworkError
from dynatlas.figures.looks import ACTIVATIONS, architecture_looks
from dynatlas.measures.registry import measure_label
from dynatlas.recordings.place import TABLES, Placement
from dynatlas.recordings.plots import map_plot, strip_plot
from dynatlas.recordings.sentences import WARNING, level_label, rows_of
from dynatlas.report.rendering import SHARED_PARTS, in_one_scope, render_page, script_part, text_of
from dynatlas.report.values import records

NEAREST: Final = 10  # networks listed
PAGE: Final = "index.html"
MARK: Final = "placement.json"  # identifies the folder of a placement
WRITTEN: Final = {PAGE, MARK, *(f"{name}.{ending}" for name in TABLES for ending in ("csv", "parquet"))}


def page(placement: Placement) -> str:
    """Render the page; it refers to no other file."""
    views = [
        _view(placement, recording, measure, f"{place}-{measure}")
        for place, recording in enumerate(placement.recordings)
        for measure in placement.measures
    ]
    plots = {
        f"{kind}-{view['id']}": draw(placement, view["recording"], view["measure"])
        for view in views
        for kind, draw in (("map", map_plot), ("strip", strip_plot))
    }
    return render_page(
        "recordings/page.html",
        ", ".join(placement.recordings),
        in_one_scope([*map(script_part, SHARED_PARTS), text_of("recordings/page.js")]),
        {"plots": plots},
        study=placement.study,
        task=task_title(None, placement.task),
        recordings=placement.recordings,
        notes=placement.notes,
        warning=WARNING,
        views=views,
        architectures=architecture_looks(placement.architectures),
        activations=ACTIVATIONS,
    )


def _view(placement: Placement, recording: str, measure: str, id_: str) -> dict[str, Any]:
    """Return the template's values for one recording and one measure."""
    tables = placement.tables
    distances = rows_of(tables, "distances", recording, measure)
    levels = rows_of(tables, "levels", recording, measure)
    places = rows_of(tables, "map", recording, measure)
    effects = {row["factor"]: row for row in records(rows_of(tables, "effects", recording, measure))}
    return {
        "id": id_,
        "recording": recording,
        "measure": measure,
        "label": measure_label(measure),
        "sentences": placement.said(recording, measure),
        "controls": records(rows_of(tables, "controls", recording, measure)),
        "levels": [
            row | {"label": level_label(row["factor"], row["level"]), "effect": effects.get(row["factor"])}
            for row in records(levels)
            if (levels["factor"] == row["factor"]).sum() > 1
        ],
        "nearest": records(distances[distances["version"] == "trained"].nsmallest(NEAREST, "distance")),
        "stress": float(places["misfit"].iloc[0]),
        "misfit": float(places["misfit"].iloc[-1]),
        "others": records(rows_of(tables, "recordings", recording, measure)),
    }


def write_folder(placement: Placement, folder: Path, *, replaces_any: bool = True) -> Path:
    """Write the page and the tables into a folder atomically, and return the page's path.

    Args:
        placement: the placement.
        folder: the folder; an earlier placement is replaced, if the folder contains nothing else.
        replaces_any: also replace a placement of other recordings, or in another task or study.

    Raises:
        NetworkError: the folder exists and may not be replaced, or cannot be written.
    """
    mark = json.dumps({"study": placement.study, "task": placement.task, "recordings": list(placement.recordings)})
    try:
        _refuse_others(folder, None if replaces_any else mark)
        with temporary_beside(folder) as temporary:
            temporary.mkdir()
            for name, table in placement.tables.items():
                table.to_parquet(temporary / f"{name}.parquet", index=False)
                table.to_csv(temporary / f"{name}.csv", index=False)
            (temporary / PAGE).write_text(page(placement), encoding="utf-8")
            (temporary / MARK).write_text(mark, encoding="utf-8")
            publish(temporary, folder)
    except OSError as error:
        raise NetworkError(f"cannot write {folder}: {error.strerror}") from error
    return folder / PAGE


def _refuse_others(folder: Path, mark: str | None) -> None:
    """Check that the folder contains only an earlier placement, and with ``mark`` that it has the same mark."""
    if not folder.exists() and not folder.is_symlink():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() and not folder.is_symlink() else {""}
    if names and MARK not in names:
        raise NetworkError(f"{folder} exists and is no earlier placement; choose another folder with --out")
    if others := sorted(names - WRITTEN):
        raise NetworkError(
            f"{folder} has {', '.join(others[:5])} next to an earlier placement and would be replaced as a whole; move "
            "these files, or choose another folder with --out"
        )
    if names and mark is not None and (seen := (folder / MARK).read_text(encoding="utf-8", errors="replace")) != mark:
        raise NetworkError(
            f"{folder} is the placement of {seen[:200]}, and this one is of {mark}; choose another folder with --out"
        )
