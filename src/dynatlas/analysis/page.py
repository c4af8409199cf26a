"""One self-contained page that shows one network, in the style of an atlas' report."""

from importlib import metadata, resources
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from dynatlas.analysis.analyze import Analysis
from dynatlas.analysis.plots import MOST_POINTS, spectrum, state_spaces
from dynatlas.figures.style import UNSTABLE
from dynatlas.report import script_json

MOST_ROWS = 2000  # of the table of points; all are in the file beside the page


def page(analysis: Analysis, title: str, verified: str = "") -> str:
    """The page: everything that it shows is in it.

    Args:
        analysis: what was found.
        title: what to call the network.
        verified: what is known of whether the network was read rightly; empty if nobody asked.
    """
    from plotly.offline import get_plotlyjs

    scenes = state_spaces(analysis)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    template = environment.from_string((resources.files("dynatlas.analysis") / "page.html").read_text("utf-8"))
    points = analysis.tables["fixed_points"]
    return template.render(
        title=title,
        version=metadata.version("dynatlas"),
        network=analysis.network,
        verified=verified,
        warnings=analysis.warnings,
        starts=analysis.visited.said,
        searches=_records(analysis.tables["searches"]),
        attractors=_records(analysis.tables["attractors"]),
        points=_records(points.head(MOST_ROWS)),
        n_points=len(points),
        most_points=MOST_POINTS,
        outputs=[name for name in points.columns if name.startswith("output_")][:8],
        spaces=scenes,
        unstable=UNSTABLE,
        css=Markup(_report_file("page.css")),  # noqa: S704 - our own files
        script=Markup(_report_file("page.js")),  # noqa: S704
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),  # noqa: S704
        data=script_json({"plots": {"spectrum": spectrum(analysis)}, "spaces": {"network": scenes}}),
    )


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _report_file(name: str) -> str:
    return (resources.files("dynatlas.report") / name).read_text(encoding="utf-8")
