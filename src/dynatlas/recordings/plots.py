"""Plots of a recording among networks as plotly JSON: the map, and strips of distances."""

from typing import Any, Final

import pandas as pd

from dynatlas.figures.looks import looks_of_levels
from dynatlas.figures.style import side_by_side
from dynatlas.recordings.place import Placement
from dynatlas.recordings.sentences import Row, controls_by_name, rows_of
from dynatlas.report.plots import Plot, number, text

SPREAD: Final = 0.3  # half the width of a strip
CONTROLS: Final = ("between trained networks", "shuffled time", "shifted trials", "own halves")


def map_plot(placement: Placement, recording: str, measure: str) -> Plot:
    """Draw the map of the trained networks with the recording."""
    looks, shown = looks_of_levels(placement.levels), placement.shown
    places = rows_of(placement.tables, "map", recording, measure)
    distances = _trained(placement, recording, measure)
    networks = places[places["network"] != ""].merge(distances, on="network")
    groups: Any = networks.groupby([*shown], sort=False)
    traces: list[Plot] = [
        _marks(rows, rows["x"], rows["y"], looks[shown[0]][color].color, looks[shown[1]][shape].symbol)
        for (color, shape), rows in groups
    ]
    spot = places[places["network"] == ""].iloc[0]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [number(spot["x"])],
            "y": [number(spot["y"])],
            "marker": {"color": "@ink", "size": 17, "symbol": "star", "line": {"color": "@surface", "width": 1.5}},
            "hovertemplate": f"{text(recording)}<extra></extra>",
        }
    )
    blank = {"showticklabels": False, "zeroline": False, "showgrid": False}
    return {
        "data": traces,
        "layout": {
            "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
            "xaxis": blank,
            "yaxis": blank | {"scaleanchor": "x"},
        },
    }


def strip_plot(placement: Placement, recording: str, measure: str) -> Plot:
    """Draw distances from the recording in strips: networks by a factor and training, then the controls."""
    rows = rows_of(placement.tables, "distances", recording, measure)
    controls = controls_by_name(placement.tables, recording, measure)
    first, second = placement.shown
    looks = looks_of_levels(placement.levels)
    traces: list[Plot] = []
    ticks: list[str] = []
    for level in dict.fromkeys(rows[first]):
        for version in ("trained", "untrained"):
            some = rows[(rows[first] == level) & (rows["version"] == version)]
            if some.empty:
                continue
            place = -len(ticks)
            before = "" if version == "trained" else ", before training"
            ticks.append(text(f"{looks[first][level].title}{before}"))
            for shape, marks in some.groupby(second, sort=False):
                traces.append(
                    _marks(
                        marks,
                        marks["distance"],
                        place + side_by_side(len(marks), SPREAD),
                        looks[first][level].color,
                        looks[second][shape].symbol,
                        is_full=version == "trained",
                    )
                )
    for control in CONTROLS:
        if control in controls:
            place = -len(ticks)
            ticks.append(control)
            traces.append(_bar(controls[control], place))
    return {
        "data": traces,
        "layout": {
            "margin": {"l": 10, "r": 12, "t": 8, "b": 40},
            "xaxis": {"title": {"text": "distance"}, "rangemode": "tozero", "zeroline": False},
            "yaxis": {
                "tickvals": [-place for place in range(len(ticks))],
                "ticktext": ticks,
                "range": [-len(ticks) + 0.4, 0.6],
                "showgrid": False,
                "zeroline": False,
            },
        },
    }


def _trained(placement: Placement, recording: str, measure: str) -> pd.DataFrame:
    rows = rows_of(placement.tables, "distances", recording, measure)
    return rows[rows["version"] == "trained"]


def _marks(rows: pd.DataFrame, x: Any, y: Any, color: str, symbol: str, *, is_full: bool = True) -> Plot:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [number(value) for value in x],
        "y": [number(value) for value in y],
        "customdata": [
            [text(name), f"{value:.3g}"] for name, value in zip(rows["name"], rows["distance"], strict=True)
        ],
        "hovertemplate": "%{customdata[0]}<br>distance %{customdata[1]}<extra></extra>",
        "marker": {
            "color": color,
            "size": 9,
            "symbol": symbol if is_full else f"{symbol}-open",
            "opacity": 0.85,
            "line": {"color": color, "width": 1.5},
        },
    }


def _bar(row: Row, place: int) -> Plot:
    """Draw a mean with its interval."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [number(row["value"])],
        "y": [place],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [number(row["high"] - row["value"])],
            "arrayminus": [number(row["value"] - row["low"])],
            "color": "@muted",
            "thickness": 2,
        },
        "marker": {"color": "@muted", "size": 9, "symbol": "line-ns", "line": {"color": "@muted", "width": 3}},
        "hovertemplate": f"{row['value']:.3g} ({row['low']:.3g} to {row['high']:.3g})<extra></extra>",
    }
