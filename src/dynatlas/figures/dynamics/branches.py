"""Branches of fixed points against a parameter: stability along them, and their bifurcations."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from dynatlas.figures.style import GREY, new_figure, styled

STABLE = "#0072B2"
UNSTABLE = "#9A9A9A"
# Colour-blind-safe colours, and shapes, so that a kind is seen without its colour.
MARKS: dict[str, tuple[str, str]] = {
    "fold": ("o", "#D55E00"),
    "pitchfork": ("D", "#009E73"),
    "transcritical": ("X", "#009E73"),
    "flip": ("s", "#CC79A7"),
    "Neimark-Sacker": ("^", "#E69F00"),
    "border collision": ("v", "#56B4E9"),
    "degenerate": ("*", "#000000"),
    "unresolved": ("P", "#000000"),
}


def branches_figure(branches: Any, readout: Any = None) -> Figure:
    """Draw branches against the parameter: stable parts solid, unstable ones dashed, bifurcations marked.

    Args:
        branches: the result of ``continue_fixed_points``.
        readout: weights [n], or a function of states [k, n], of what is drawn; by default the first principal component
            of the states of all branches.

    Raises:
        ValueError: the readout does not have one weight for each dimension, or one value for each state.
    """
    project: Any = projection(branches, readout) if len(branches) else None
    label = "first principal component" if readout is None else "readout"
    return heights_figure(branches, lambda states, parameters: project(states), "parameter", label)


def heights_figure(branches: Any, height: Any, parameter: str, label: str) -> Figure:
    """Draw branches as ``branches_figure`` does.

    Args:
        branches: the result of ``continue_fixed_points``.
        height: a function of states [k, n] and parameters [k] of what is drawn [k].
        parameter: label of the parameter.
        label: label of what is drawn.
    """
    with styled():
        figure = new_figure(3.0, width=4.6)
        axes = figure.subplots()
        axes.set(xlabel=parameter, ylabel=label)
        if not len(branches):
            return figure
        for branch in branches.branches:
            _draw_branch(axes, branch.parameters, height(branch.states, branch.parameters), branch.n_unstable == 0)
        handles = [
            Line2D([], [], color=STABLE, label="stable"),
            Line2D([], [], color=UNSTABLE, linestyle=(0, (3, 1.5)), label="unstable"),
        ]
        for kind, (marker, color) in MARKS.items():
            found = [each for each in branches.bifurcations if each.kind == kind]
            if found:
                style: Any = {"marker": marker, "color": color, "linestyle": "none", "markersize": 4, "label": kind}
                places = np.array([each.parameter for each in found])
                handles += axes.plot(
                    places, height(np.stack([each.state for each in found]), places), zorder=3, **style
                )
        axes.set_xlim(*sorted((branches.start, branches.stop)))
        wrong = branches.index_sums.parameters[branches.index_sums.is_wrong] if branches.has_box else []
        if len(wrong):
            handles += axes.plot(
                wrong, np.full(len(wrong), 0.01), "|", color=GREY, transform=axes.get_xaxis_transform(),
                label="index sum not 1",
            )  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def stable_runs(is_stable: NDArray[np.bool_]) -> list[tuple[slice, bool]]:
    """Return the runs of stable and of unstable points of a branch; a run begins at the last point of the one before.

    Example:
        >>> stable_runs(np.array([True, True, False]))
        [(slice(0, 2, None), True), (slice(1, 3, None), False)]
    """
    changes = (np.flatnonzero(np.diff(is_stable)) + 1).tolist()
    return [
        (slice(max(first - 1, 0), last), bool(is_stable[first]))
        for first, last in zip([0, *changes], [*changes, len(is_stable)], strict=True)
    ]


def projection(branches: Any, readout: Any = None) -> Any:
    """Return the function of states [k, n] that is drawn."""
    states = np.concatenate([branch.states for branch in branches.branches])
    if callable(readout):
        values = np.asarray(readout(states))
        if values.shape != (len(states),):
            raise ValueError(
                f"readout returns shape {values.shape} for {len(states)} states; expected one value for each"
            )
        return readout
    if readout is not None:
        weights = np.asarray(readout, np.float64)
        if weights.shape != (states.shape[1],):
            raise ValueError(f"readout has shape {weights.shape}; expected one weight for each of {states.shape[1]}")
        return lambda rows: rows @ weights
    center = states.mean(axis=0)
    axis = np.linalg.svd(states - center, full_matrices=False)[2][0]
    axis = axis * np.sign(axis[np.abs(axis).argmax()])
    return lambda rows: (rows - center) @ axis


def _draw_branch(axes: Axes, parameters: NDArray[np.float64], heights: Any, is_stable: NDArray[np.bool_]) -> None:
    """Draw the runs of stable and of unstable points."""
    for piece, stable in stable_runs(is_stable):
        style = {"color": STABLE} if stable else {"color": UNSTABLE, "linestyle": (0, (3, 1.5))}
        axes.plot(parameters[piece], np.asarray(heights)[piece], **style)
