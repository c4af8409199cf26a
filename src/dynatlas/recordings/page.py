"""Self-contained HTML page of recordings among networks, in the style of an atlas' report."""

from pathlib import Path
from typing import Any, Final

from dynatlas._io.targets import Results
from dynatlas._io.targets import write_folder as write_results
from dynatlas.atlas.view import task_title
from dynatlas.errors import NetworkError
from dynatlas.figures.looks import GLYPHS, factor_label, looks_of_levels
from dynatlas.measures.registry import measure_label
from dynatlas.recordings.place import Placement
from dynatlas.recordings.plots import map_plot, strip_plot
from dynatlas.recordings.sentences import WARNING, level_words, rows_of
from dynatlas.report.rendering import SHARED_PARTS, in_one_scope, render_page, script_part, text_of
from dynatlas.report.values import records

NEAREST: Final = 10  # networks listed
PAGE: Final = "index.html"


def page(placement: Placement) -> str:
    """Render the page; it refers to no other file."""
    looks, (color, shape) = looks_of_levels(placement.levels), placement.shown
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
        colors=list(looks[color].values()),
        shapes=list(looks[shape].values()) if len(looks[shape]) > 1 else [],
        glyphs=GLYPHS,
        factor_label=factor_label,
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
            row | {"label": level_words(row["factor"], row["level"]), "effect": effects.get(row["factor"])}
            for row in records(levels)
            if (levels["factor"] == row["factor"]).sum() > 1
        ],
        "nearest": records(distances[distances["version"] == "trained"].nsmallest(NEAREST, "distance")),
        "stress": float(places["misfit"].iloc[0]),
        "misfit": float(places["misfit"].iloc[-1]),
        "others": records(rows_of(tables, "recordings", recording, measure)),
    }


def write_folder(placement: Placement, folder: Path, *, replaces_any: bool = True) -> Path:
    """Write the page and the tables into a folder, and return the page's path.

    The files of an earlier placement there are replaced; other files are kept.

    Args:
        placement: the placement.
        folder: the folder: missing, empty, or with an earlier placement.
        replaces_any: also replace a placement of other recordings, or in another task or study.

    Raises:
        NetworkError: the folder holds something else, an edited file would be replaced, or it cannot be written.
    """
    subject = {"study": placement.study, "task": placement.task, "recordings": list(placement.recordings)}

    def write(stage: Path) -> None:
        for name, table in placement.tables.items():
            table.to_parquet(stage / f"{name}.parquet", index=False)
            table.to_csv(stage / f"{name}.csv", index=False)
        (stage / PAGE).write_text(page(placement), encoding="utf-8")

    results = Results("placement", subject, NetworkError)
    return write_results(folder, results, write, replaces_any=replaces_any) / PAGE
