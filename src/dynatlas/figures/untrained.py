"""Trained and untrained networks on one map: how much of a likeness is there before any training."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynatlas.figures.distances import groups
from dynatlas.figures.reading import AtlasLike, Missing, arrays, panel, table
from dynatlas.figures.style import GREY, MEASURES, TASK_TITLES, new_figure, styled

ARCHITECTURE = "vanilla"  # as in the paper's figure 4
NO_DISTANCES = ("reliability", "explained by training")


def untrained(atlas: AtlasLike, task: str) -> Figure:
    """The controls of a task in numbers, and the distances between Vanilla networks, trained and not."""
    measure = atlas.study.analysis.measures[0]
    with styled():
        figure = new_figure(2.4)
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
        title = MEASURES.get(measure, measure)
        figure.suptitle(f"{TASK_TITLES[task]}: {title} distances and their controls", fontsize=8, fontweight="bold")
        panel(left, _draw_controls, atlas, task, measure)
        panel(right, _draw_matrix, atlas, task, measure)
    return figure


def control_rows(atlas: AtlasLike, task: str, measure: str) -> pd.DataFrame:
    """The rows of ``controls`` that are distances.

    Raises:
        Missing: there are none.
    """
    rows = table(atlas, "controls", task)
    rows = rows[(rows["measure"] == measure) & ~rows["control"].isin(NO_DISTANCES)]
    if rows.empty:
        raise Missing(f"There are no controls for {measure}: they need three trained networks.")
    return rows


def _draw_controls(axes: Axes, atlas: AtlasLike, task: str, measure: str) -> None:
    rows = control_rows(atlas, task, measure).iloc[::-1]
    places = np.arange(len(rows))
    axes.errorbar(
        rows["value"],
        places,
        xerr=[rows["value"] - rows["low"], rows["high"] - rows["value"]],
        fmt="o",
        markersize=3.5,
        color="#3b6ea8",
        ecolor=GREY,
        elinewidth=0.9,
    )
    axes.set_yticks(places, rows["control"])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(left=0)
    axes.set_xlabel("mean distance, 95 % interval over networks")


def _draw_matrix(axes: Axes, atlas: AtlasLike, task: str, measure: str) -> None:
    try:
        stored = arrays(atlas, f"controls/{task}/{measure}", task)
    except Missing:
        raise Missing(
            "This study keeps no untrained networks;\nset population.untrained_controls = true\nand run it anew."
        ) from None
    networks = table(atlas, "networks", task).set_index("network")
    rows = networks.loc[[name.removesuffix(" untrained") for name in stored["network"].values.astype(str)]]
    rows = rows.assign(is_trained=stored["is_trained"].values, place=np.arange(len(rows)))
    rows = rows[rows["architecture"] == ARCHITECTURE].sort_values(
        ["activation", "is_trained"], ascending=[True, False], kind="stable"
    )
    if rows.empty:
        raise Missing("No Vanilla network was trained on this task.")
    places = rows["place"].to_numpy(int)
    matrix = stored["distance"].values[np.ix_(places, places)]
    image = axes.imshow(matrix, cmap="cividis", vmin=0, interpolation="nearest", rasterized=len(rows) > 100)
    scale: Any = axes.figure.colorbar(image, ax=axes, fraction=0.04, pad=0.03, label="distance")
    scale.outline.set_visible(False)
    ticks: list[tuple[float, str]] = []
    for (activation, is_trained), start, stop in groups(rows, "activation", "is_trained"):
        ticks.append(((start + stop - 1) / 2, f"{activation},\n{'trained' if is_trained else 'untrained'}"))
        if start:
            axes.axhline(start - 0.5, color="white", linewidth=0.7)
            axes.axvline(start - 0.5, color="white", linewidth=0.7)
    axes.set_yticks([place for place, _ in ticks], [name for _, name in ticks])
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.set_title("Vanilla networks", fontsize=7)
