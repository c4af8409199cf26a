"""Two-dimensional plots of the page as plotly JSON; colours that begin with “@” are set by the theme in the browser."""

import html
from collections.abc import Sequence
from typing import Any, SupportsFloat

import numpy as np

from dynatlas._util.json import Json
from dynatlas.atlas.view import AtlasLike, of_variant, shown_factors, table, variants
from dynatlas.figures.looks import factor_label, level_label, looks_of, short_variant_label, variant_words
from dynatlas.figures.style import side_by_side
from dynatlas.figures.training.performance import task_error

Plot = Json


def text(value: Any) -> str:
    """Escape a name, so that plotly does not interpret it as markup."""
    return html.escape(str(value), quote=False)


def number(value: SupportsFloat, digits: int = 5) -> float | None:
    """Round a number for a smaller page; None if not finite, since JSON has no NaN."""
    plain = float(value)
    return float(f"{plain:.{digits}g}") if np.isfinite(plain) else None


def performance_plot(atlas: AtlasLike, task: str) -> Plot:
    """Plot the error of every network on a task, with the threshold."""
    networks = table(atlas, "networks", task)
    error = task_error(atlas, task, networks)
    columns, looks = variants(atlas), looks_of(atlas.study)[shown_factors(atlas.study)[0]]
    further = [factor.name for factor in atlas.study.further_factors]  # a network's name abbreviates them
    finite = error.values[np.isfinite(error.values) & (error.values > 0)]
    ceiling = 2.5 * max(float(finite.max()) if len(finite) else error.bound, error.bound)
    shown = [*finite, error.bound]
    decades = np.log10(max(shown) / min(shown))
    traces = []
    for column, variant in enumerate(columns):
        rows = of_variant(atlas.study, networks, variant)
        across = column + side_by_side(len(rows), 0.25)
        values = [number(value) if value > 0 else None for value in error.values.loc[rows.index]]
        symbols = [
            "triangle-down" if value is None else "circle" if passed else "x-thin"
            for value, passed in zip(values, rows["passed"], strict=True)
        ]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "cliponaxis": False,
                "x": [round(float(x), 3) for x in across],
                "y": [ceiling if value is None else value for value in values],
                "customdata": [
                    [
                        "<br>".join(map(text, (name, *_levels(further, levels)))),
                        "diverged" if value is None else f"{value:.3g}",
                        text(reason or "passed"),
                        network,
                    ]
                    for name, value, reason, network, levels in zip(
                        *(rows["name"], values, rows["reason"], rows["network"]),
                        rows[further].itertuples(index=False, name=None),
                        strict=True,
                    )
                ],
                "hovertemplate": (
                    f"%{{customdata[0]}}<br>{error.label}: %{{customdata[1]}}<br>%{{customdata[2]}}<extra></extra>"
                ),
                "marker": {
                    "color": looks[variant[0]].color,
                    "size": 8,
                    "symbol": symbols,
                    "line": {"color": looks[variant[0]].color, "width": 2},
                },
            }
        )
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "x": [-0.6, len(columns) - 0.4],
            "y": [error.bound, error.bound],
            "line": {"color": "@muted", "dash": "dash", "width": 1},
            "hovertemplate": f"threshold {error.bound:g}<extra></extra>",
        }
    )
    layout: Json = {
        "margin": {"l": 58, "r": 8, "t": 28, "b": 92},
        "xaxis": {
            "tickvals": list(range(len(columns))),
            "ticktext": [text(short_variant_label(atlas.study, column)) for column in columns],
            "range": [-0.6, len(columns) - 0.4],
            "tickangle": -60,
            "showgrid": False,
            "zeroline": False,
        },
        "yaxis": {
            "type": "log",
            "title": {"text": error.label},
            "dtick": 1 if decades > 1.2 else "D2",
            "exponentformat": "power",
            "zeroline": False,
        },
    }
    if words := variant_words(atlas.study):
        layout["xaxis"]["title"] = {"text": text(words)}
    return {"data": traces, "layout": layout}


def _levels(factors: Sequence[str], levels: Sequence[Any]) -> list[str]:
    """Return a line for each factor of a network."""
    return [f"{factor_label(name)}: {level_label(name, level)}" for name, level in zip(factors, levels, strict=True)]
