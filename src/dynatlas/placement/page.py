"""One self-contained page that shows recordings among networks, in the style of an atlas' report."""

from importlib import metadata, resources
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from dynatlas.figures.reading import task_title
from dynatlas.figures.style import ACTIVATIONS, ARCHITECTURES
from dynatlas.placement.place import Placement
from dynatlas.placement.plots import map_plot, strip_plot
from dynatlas.placement.words import WARNING, level_label, measure_label, of
from dynatlas.report.scripts import content_hash, in_one_scope, part, script_json

# What the script of an atlas' page has for any page.
PARTS: Final = ("elements", "theme", "plots")
NEAREST: Final = 10  # networks listed


def page(placement: Placement) -> str:
    """The page: everything that it shows is in it."""
    from plotly.offline import get_plotlyjs

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
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    scripts = [
        get_plotlyjs().replace("</script", "<\\/script"),
        in_one_scope([*map(part, PARTS), _file("dynatlas.placement", "page.js")]),
    ]
    return environment.from_string(_file("dynatlas.placement", "page.html")).render(
        title=", ".join(placement.recordings),
        version=metadata.version("dynatlas"),
        study=placement.study,
        task=task_title(None, placement.task),
        recordings=placement.recordings,
        notes=placement.notes,
        warning=WARNING,
        views=views,
        architectures=ARCHITECTURES,
        activations=ACTIVATIONS,
        css=Markup(_file("dynatlas.report", "page.css")),  # noqa: S704 - our own files
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        hashes=[content_hash(script) for script in scripts],
        data=script_json({"plots": plots}),
    )


def _view(placement: Placement, recording: str, measure: str, id_: str) -> dict[str, Any]:
    """One recording by one measure."""
    tables = placement.tables
    distances = of(tables, "distances", recording, measure)
    levels = of(tables, "levels", recording, measure)
    places = of(tables, "map", recording, measure)
    effects = {row["factor"]: row for row in _records(of(tables, "effects", recording, measure))}
    return {
        "id": id_,
        "recording": recording,
        "measure": measure,
        "label": measure_label(measure),
        "sentences": placement.said(recording, measure),
        "controls": _records(of(tables, "controls", recording, measure)),
        "levels": [
            row | {"label": level_label(row["factor"], row["level"]), "effect": effects.get(row["factor"])}
            for row in _records(levels)
            if (levels["factor"] == row["factor"]).sum() > 1
        ],
        "nearest": _records(distances[distances["version"] == "trained"].nsmallest(NEAREST, "distance")),
        "stress": float(places["misfit"].iloc[0]),
        "misfit": float(places["misfit"].iloc[-1]),
        "others": _records(of(tables, "recordings", recording, measure)),
    }


def _records(table: Any) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _file(package: str, name: str) -> str:
    return (resources.files(package) / name).read_text(encoding="utf-8")
