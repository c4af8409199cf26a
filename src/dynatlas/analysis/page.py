"""One self-contained page that shows one network, in the style of an atlas' report."""

from dynatlas.analysis.analyze import Analysis
from dynatlas.analysis.plots import MOST_POINTS, spectrum, state_spaces
from dynatlas.figures.style import UNSTABLE
from dynatlas.report.rendering import render_page, text_of
from dynatlas.report.scripts import OF_ANY_PAGE, in_one_scope, part
from dynatlas.report.values import records

MOST_ROWS = 2000  # of the table of points; all are in the file beside the page


def page(analysis: Analysis, title: str, verified: str = "") -> str:
    """The page: everything that it shows is in it.

    Args:
        analysis: what was found.
        title: what to call the network.
        verified: what is known of whether the network was read rightly; empty if nobody asked.
    """
    scenes = state_spaces(analysis)
    points = analysis.tables["fixed_points"]
    return render_page(
        "analysis/page.html",
        title,
        in_one_scope([*map(part, OF_ANY_PAGE), text_of("analysis/page.js")]),
        {"plots": {"spectrum": spectrum(analysis)}, "spaces": {"network": scenes}},
        network=analysis.network,
        verified=verified,
        warnings=analysis.warnings,
        starts=analysis.visited.said,
        searches=records(analysis.tables["searches"]),
        attractors=records(analysis.tables["attractors"]),
        points=records(points.head(MOST_ROWS)),
        n_points=len(points),
        most_points=MOST_POINTS,
        outputs=[name for name in points.columns if name.startswith("output_")][:8],
        spaces=scenes,
        unstable=UNSTABLE,
    )
