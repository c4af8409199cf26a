"""One self-contained page that shows recordings among networks, in the style of an atlas' report."""

from typing import Any, Final

from dynatlas.figures.reading import task_title
from dynatlas.figures.style import ACTIVATIONS, ARCHITECTURES, measure_label
from dynatlas.placement.place import Placement
from dynatlas.placement.plots import map_plot, strip_plot
from dynatlas.placement.words import WARNING, level_label, of
from dynatlas.report.rendering import render_page, text_of
from dynatlas.report.scripts import OF_ANY_PAGE, in_one_scope, part
from dynatlas.report.values import records

NEAREST: Final = 10  # networks listed


def page(placement: Placement) -> str:
    """The page: everything that it shows is in it."""
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
        "placement/page.html",
        ", ".join(placement.recordings),
        in_one_scope([*map(part, OF_ANY_PAGE), text_of("placement/page.js")]),
        {"plots": plots},
        study=placement.study,
        task=task_title(None, placement.task),
        recordings=placement.recordings,
        notes=placement.notes,
        warning=WARNING,
        views=views,
        architectures=ARCHITECTURES,
        activations=ACTIVATIONS,
    )


def _view(placement: Placement, recording: str, measure: str, id_: str) -> dict[str, Any]:
    """One recording by one measure."""
    tables = placement.tables
    distances = of(tables, "distances", recording, measure)
    levels = of(tables, "levels", recording, measure)
    places = of(tables, "map", recording, measure)
    effects = {row["factor"]: row for row in records(of(tables, "effects", recording, measure))}
    return {
        "id": id_,
        "recording": recording,
        "measure": measure,
        "label": measure_label(measure),
        "sentences": placement.said(recording, measure),
        "controls": records(of(tables, "controls", recording, measure)),
        "levels": [
            row | {"label": level_label(row["factor"], row["level"]), "effect": effects.get(row["factor"])}
            for row in records(levels)
            if (levels["factor"] == row["factor"]).sum() > 1
        ],
        "nearest": records(distances[distances["version"] == "trained"].nsmallest(NEAREST, "distance")),
        "stress": float(places["misfit"].iloc[0]),
        "misfit": float(places["misfit"].iloc[-1]),
        "others": records(of(tables, "recordings", recording, measure)),
    }
