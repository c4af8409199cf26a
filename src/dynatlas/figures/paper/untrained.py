"""Figure 4: trained and untrained networks compared."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynatlas.atlas.view import (
    AtlasLike,
    Missing,
    arrays,
    levels_of,
    map_facts,
    table,
    task_name,
    task_title,
    tasks,
    varying_factors,
)
from dynatlas.figures.distances import draw_networks, frame_map, level_runs
from dynatlas.figures.legends import Legend, draw_legends, marker_handle, selected_looks
from dynatlas.figures.looks import Look, architecture_label, factor_label, looks_of, plain
from dynatlas.figures.style import GREY, SMALLEST, heading, new_figure, panel, split_rows, styled
from dynatlas.measures.registry import measure_label

LEAST_NETWORKS = 3
MOST_PAIRS = 4  # levels whose trained and untrained networks have separate entries in a legend
MOST_NAMED = 2  # levels whose trained and untrained networks are named beside a matrix
NOT_DISTANCES = ("reliability", "explained by training")

NO_UNTRAINED = (
    "This study keeps no untrained networks; set population.untrained_controls = true and run it into a new atlas."
)


def untrained(atlas: AtlasLike) -> Figure:
    """Draw for each task a map of one architecture's trained and untrained networks, their distances, and means."""
    with styled():
        figure = new_figure(5.9)
        maps, matrices, means, legends = split_rows(figure, [2.2, 1.7, 1.6, 0.4])
        measure = atlas.study.analysis.activity_measures[0]
        label = measure_label(measure)
        for part, letter, title, draw in (
            (maps, "a", f"{shown_label(atlas)} networks, trained and untrained: {label}, MDS", _draw_map),
            (matrices, "b", "Their distances", _draw_matrix),
            (means, "c", f"Mean distances{_all_architectures(atlas)}", _draw_controls),
        ):
            heading(part, letter, title)
            kinds = tasks(atlas)
            for axes, task in zip(part.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
                if part is maps:
                    axes.set_title(task_title(atlas.study, task), parse_math=False, fontsize=7, fontweight="normal")
                panel(axes, draw, atlas, task, measure)
        draw_legends(legends, [_legend(atlas)])
    return figure


def shown_architecture(atlas: AtlasLike) -> str:
    """Return the architecture of the maps: vanilla, as in the paper, or the study's first."""
    return str(levels_of(atlas.study, "architecture")[0])


def _all_architectures(atlas: AtlasLike) -> str:
    return ", all architectures" if len(atlas.study.levels["architecture"]) > 1 else ""


def coloured_factor(atlas: AtlasLike) -> str:
    """Return the factor that colours show among the networks of one architecture."""
    return next((factor for factor in varying_factors(atlas.study) if factor != "architecture"), "activation")


def _looks(atlas: AtlasLike) -> dict[Any, Look]:
    return looks_of(atlas.study)[coloured_factor(atlas)]


def shown_label(atlas: AtlasLike) -> str:
    """Return the label of the architecture of the maps."""
    return architecture_label(shown_architecture(atlas))


def control_rows(atlas: AtlasLike, task: str, measure: str) -> pd.DataFrame:
    """Return the rows of ``controls`` that are distances.

    Raises:
        Missing: too few networks passed, or no controls are stored.
    """
    passed = int(table(atlas, "networks", task)["passed"].sum())
    if passed < LEAST_NETWORKS:  # to run the study again, as ``table`` advises, would not help
        raise Missing(f"Controls need {LEAST_NETWORKS} networks that passed; {passed} passed on this task.")
    rows = table(atlas, "controls", task)
    return rows[(rows["measure"] == measure) & ~rows["control"].isin(NOT_DISTANCES)]


def reliability(atlas: AtlasLike, task: str, measure: str) -> float:
    """Return the reliability of the distances between the two halves of the probe; NaN if unknown.

    Raises:
        Missing: no controls are stored.
    """
    rows = table(atlas, "controls", task)
    rows = rows[(rows["measure"] == measure) & (rows["control"] == "reliability")]
    return float(rows["value"].mean())


def control_map(atlas: AtlasLike, task: str, measure: str) -> pd.DataFrame:
    """Return the map of the shown architecture: a row per trained or untrained network, with its level.

    Raises:
        Missing: the map is not stored.
    """
    if not atlas.study.population.untrained_controls:
        raise Missing(NO_UNTRAINED)
    rows = table(atlas, "control_embeddings", task)
    rows = rows[(rows["measure"] == measure) & (rows["architecture"] == shown_architecture(atlas))]
    if rows.empty:
        raise Missing(f"No {shown_label(atlas)} network of this task passed.")
    levels = table(atlas, "networks", task).set_index("network")[coloured_factor(atlas)]
    return rows.assign(level=rows["network"].map(levels)).reset_index(drop=True)


def _legend(atlas: AtlasLike) -> Legend:
    looks = selected_looks(_looks(atlas))
    states = {"trained": False, "untrained": True}
    handles = [
        marker_handle(f"{look.title}, {state}", look.color, hollow=hollow)
        for look in looks
        for state, hollow in states.items()
    ]
    if len(looks) > MOST_PAIRS:
        handles = [marker_handle(look.title, look.color) for look in looks]
        handles += [marker_handle(state, GREY, hollow=hollow) for state, hollow in states.items()]
    return Legend("Marks in a", handles, min(len(handles), 4))


def _draw_map(axes: Axes, atlas: AtlasLike, task: str, measure: str) -> None:
    rows = control_map(atlas, task, measure)
    looks = _looks(atlas)
    for (level, is_trained), of_kind in rows.groupby(["level", "is_trained"], sort=False):
        draw_networks(axes, of_kind, looks[level].color, "o", of=len(rows), hollow=not is_trained)
    frame_map(axes)
    axes.set_xlabel(f"n = 2 × {len(rows) // 2}, stress {rows['stress'].iloc[0]:.2f}", color=GREY, fontsize=SMALLEST)


def _draw_matrix(axes: Axes, atlas: AtlasLike, task: str, measure: str) -> None:
    if not atlas.study.population.untrained_controls:
        raise Missing(NO_UNTRAINED)
    stored = arrays(atlas, f"controls/{task}/{measure}", task)
    networks = table(atlas, "networks", task).set_index("network")
    rows = networks.loc[[name.removesuffix(" untrained") for name in stored["network"].values.astype(str)]]
    rows = rows.assign(is_trained=stored["is_trained"].values, place=np.arange(len(rows)))
    factor, looks = coloured_factor(atlas), _looks(atlas)
    rows = rows.assign(rank=rows[factor].map(list(looks).index))
    rows = rows[rows["architecture"] == shown_architecture(atlas)].sort_values(
        ["rank", "is_trained"], ascending=[True, False], kind="stable"
    )
    if rows.empty:
        raise Missing(f"No {shown_label(atlas)} network of this task passed.")
    places = rows["place"].to_numpy(int)
    matrix = stored["distance"].values[np.ix_(places, places)]
    image = axes.imshow(matrix, cmap="cividis", vmin=0, interpolation="auto", rasterized=len(rows) > 100)
    scale: Any = axes.figure.colorbar(image, ax=axes, fraction=0.045, pad=0.03, label="distance")
    scale.outline.set_visible(False)
    ticks: list[tuple[float, str]] = []
    for (level, is_trained), start, stop in level_runs(rows, factor, "is_trained"):
        ticks.append(((start + stop - 1) / 2, f"{looks[level].label},\n{'trained' if is_trained else 'untrained'}"))
        if start:
            axes.axhline(start - 0.5, color="white", linewidth=0.7)
            axes.axvline(start - 0.5, color="white", linewidth=0.7)
    if len(looks) > MOST_NAMED:
        ticks = [((start + stop - 1) / 2, looks[level].label) for (level,), start, stop in level_runs(rows, factor)]
    if len(looks) > MOST_NAMED or looks[rows[factor].iloc[0]].label != looks[rows[factor].iloc[0]].title:
        of_each = ";\ntrained, untrained" if len(looks) > MOST_NAMED else ""
        axes.set_ylabel(f"{factor_label(factor)}{of_each}", fontsize=SMALLEST)
    axes.set_yticks([place for place, _ in ticks], [plain(name) for _, name in ticks], fontsize=SMALLEST)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


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
    axes.set_xlabel("mean distance")


# Rows of panel c.
CONTROL_MEANINGS = {
    "trained": "between two trained networks",
    "shuffled time": "the same with the samples of each network shuffled, a reference without similarity",
    "untrained": "between two networks before training",
    "own untrained": "between a network and itself before training",
    "trained to untrained": "between a trained network and another one before training",
}


def _components(atlas: AtlasLike, measure: str) -> str:
    """State the number of components of each task, if the measure has one."""
    facts = {task: map_facts(atlas, task, measure) for task in tasks(atlas)}
    known = {task: int(row["n_components"]) for task, row in facts.items() if row is not None and row["n_components"]}
    listed = "; ".join(f"{task_name(atlas.study, task)} {count}" for task, count in known.items())
    return f" (components: {listed})" if known else ""


def untrained_caption(atlas: AtlasLike) -> str:
    """Return the caption of figure 4."""
    measure = atlas.study.analysis.activity_measures[0]
    mapped, compared, reliabilities, shown = [], [], [], set()
    lacking: list[Missing] = []
    for task in tasks(atlas):
        name = task_name(atlas.study, task)
        try:
            rows = control_rows(atlas, task, measure)
        except Missing as missing:
            lacking.append(missing)
            compared.append(f"{name} none")
        else:
            shown |= set(rows["control"])
            compared.append(f"{name} {int(rows['n_networks'].iloc[0])}")
            known = reliability(atlas, task, measure)
            if not math.isnan(known):
                reliabilities.append(f"{name} {known:.2f}")
        try:
            mapped.append(f"{name} {len(control_map(atlas, task, measure)) // 2}")
        except Missing:
            mapped.append(f"{name} none")
    if not shown:
        raise lacking[0]
    meanings = "; ".join(f"“{control}”, {meaning}" for control, meaning in CONTROL_MEANINGS.items() if control in shown)
    reliable = (
        " Distances from the even trials of the probe predict those from the odd ones with these reliabilities: "
        f"{'; '.join(reliabilities)}."
    )
    return (
        f"{shown_label(atlas)} networks before and after training, an even selection of those that passed "
        f"({'; '.join(mapped)}). a, metric MDS of the {measure_label(measure)} distances between all of them, trained "
        f"and untrained{_components(atlas, measure)}. b, these distances. c, mean distances of networks"
        f"{' of all architectures' * bool(_all_architectures(atlas))} ({'; '.join(compared)}), with 95 % intervals "
        f"over networks: {meanings}.{reliable if reliabilities else ''}"
    )
