"""The page's flat plots as plotly JSON; a colour that begins with “@” is the theme's, set in the browser."""

import html
from typing import Any, SupportsFloat

import numpy as np
import pandas as pd

from dynatlas.figures.distances import FACTORS, groups, levels
from dynatlas.figures.performance import error_of
from dynatlas.figures.reading import AtlasLike, distances, embedding, table, variants
from dynatlas.figures.style import ACTIVATIONS, ARCHITECTURES, variant_label

Plot = dict[str, Any]
MOST_MATRIX_ROWS = 300  # a larger matrix is thinned evenly; the stored one and the print figure are whole


def text(value: Any) -> str:
    """A name as plotly shows it: its own little markup language must not act on names."""
    return html.escape(str(value), quote=False)


def number(value: SupportsFloat, digits: int = 5) -> float | None:
    """Rounded for a lighter page; None where there is none, since JSON has no NaN."""
    plain = float(value)
    return float(f"{plain:.{digits}g}") if np.isfinite(plain) else None


def performance_plot(atlas: AtlasLike, task: str) -> Plot:
    """Every network's error against its task's threshold."""
    networks = table(atlas, "networks", task)
    error = error_of(atlas, task, networks)
    columns = variants(atlas)
    finite = error.values[np.isfinite(error.values) & (error.values > 0)]
    ceiling = 2.5 * max(float(finite.max()) if len(finite) else error.bound, error.bound)
    shown = [*finite, error.bound]
    decades = np.log10(max(shown) / min(shown))
    traces = []
    for column, (architecture, activation) in enumerate(columns):
        rows = networks[(networks["architecture"] == architecture) & (networks["activation"] == activation)]
        across = column + (np.linspace(-0.25, 0.25, len(rows)) if len(rows) > 1 else np.zeros(len(rows)))
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
                    [text(name), "not finite" if value is None else f"{value:.3g}", text(reason or "passed")]
                    for name, value, reason in zip(rows["name"], values, rows["reason"], strict=True)
                ],
                "hovertemplate": (
                    f"%{{customdata[0]}}<br>{error.label}: %{{customdata[1]}}<br>%{{customdata[2]}}<extra></extra>"
                ),
                "marker": {
                    "color": ARCHITECTURES[architecture].color,
                    "size": 8,
                    "symbol": symbols,
                    "line": {"color": ARCHITECTURES[architecture].color, "width": 2},
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
    layout = {
        "margin": {"l": 58, "r": 8, "t": 28, "b": 92},
        "xaxis": {
            "tickvals": list(range(len(columns))),
            "ticktext": [variant_label(*column) for column in columns],
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
    return {"data": traces, "layout": layout}


def matrix_plot(atlas: AtlasLike, task: str, measure: str) -> Plot:
    """A distance matrix sorted by architecture and activation; the page adds the names to its hover text."""
    networks, matrix = distances(atlas, task, measure)
    keep = np.unique(np.linspace(0, len(networks) - 1, min(len(networks), MOST_MATRIX_ROWS)).round().astype(int))
    networks, matrix = networks.iloc[keep].reset_index(drop=True), matrix[np.ix_(keep, keep)]
    count = len(networks)
    bar = 0.035 * count
    shapes, notes = [], []
    for key, start, stop in groups(networks, "architecture", "activation"):
        shapes.append(_bar(-0.5 - 1.5 * bar, bar, start, stop, ACTIVATIONS[key[1]].color))
    for key, start, stop in groups(networks, "architecture"):
        shapes.append(_bar(-0.5 - 2.8 * bar, bar, start, stop, ARCHITECTURES[key[0]].color))
        notes.append(
            {
                "x": -0.5 - 3.0 * bar,
                "y": (start + stop - 1) / 2,
                "text": ARCHITECTURES[key[0]].label,
                "textangle": -90,
                "showarrow": False,
                "xanchor": "right",
                "font": {"size": 11},
            }
        )
    trace = {
        "type": "heatmap",
        "z": [[number(value, 4) for value in row] for row in matrix],
        "names": [text(name) for name in networks["name"]],
        "colorscale": "Cividis",
        "zmin": 0,
        "xgap": 0,
        "ygap": 0,
        "hoverinfo": "text",
        "colorbar": {
            "orientation": "h",
            "thickness": 8,
            "len": 0.7,
            "x": 0.6,
            "y": -0.01,
            "yanchor": "top",
            "outlinewidth": 0,
            "nticks": 4,
        },
    }
    axis = {"visible": False, "constrain": "domain"}
    layout = {
        "margin": {"l": 2, "r": 2, "t": 28, "b": 46},
        "xaxis": axis | {"range": [-0.5 - 5.5 * bar, count - 0.5]},
        "yaxis": axis | {"range": [count - 0.5, -0.5], "scaleanchor": "x", "constraintoward": "top"},
        "shapes": shapes,
        "annotations": notes,
    }
    return {"data": [trace], "layout": layout}


def _bar(left: float, width: float, start: int, stop: int, color: str) -> dict[str, Any]:
    return {
        "type": "rect",
        "x0": left,
        "x1": left + width,
        "y0": start - 0.44,
        "y1": stop - 0.56,
        "fillcolor": color,
        "line": {"width": 0},
    }


def map_plot(atlas: AtlasLike, task: str, measure: str, factor: str) -> Plot:
    """The MDS of a distance matrix, coloured by one factor, the other one shown by shape."""
    networks = embedding(atlas, task, measure)
    other = "activation" if factor == "architecture" else "architecture"
    traces = [
        _cloud(rows, FACTORS[factor][key[0]].color, FACTORS[other][key[1]].symbol)
        for key, rows in levels(networks, factor, other)
    ]
    axis = {"showticklabels": False, "zeroline": False, "showgrid": False, "mirror": True, "showline": True}
    layout = {
        "margin": {"l": 2, "r": 2, "t": 28, "b": 46},
        "xaxis": axis,
        "yaxis": axis | {"scaleanchor": "x"},
    }
    return {"data": traces, "layout": layout}


def _cloud(rows: pd.DataFrame, color: str, symbol: str) -> dict[str, Any]:
    facts = zip(rows["name"], rows["architecture"], rows["activation"], strict=True)
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [number(value) for value in rows["x"]],
        "y": [number(value) for value in rows["y"]],
        "customdata": [
            [text(name), variant_label(architecture, activation)] for name, architecture, activation in facts
        ],
        "hovertemplate": "%{customdata[1]}<br>%{customdata[0]}<extra></extra>",
        "marker": {"color": color, "symbol": symbol, "size": 9, "line": {"color": "@surface", "width": 0.7}},
    }
