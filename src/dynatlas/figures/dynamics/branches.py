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
    with styled():
        figure = new_figure(3.0, width=4.6)
        axes = figure.subplots()
        axes.set(xlabel="parameter", ylabel="first principal component" if readout is None else "readout")
        if not len(branches):
            return figure
        project = _projection(branches, readout)
        for branch in branches.branches:
            _draw_branch(axes, branch.parameters, project(branch.states), branch.n_unstable == 0)
        handles = [
            Line2D([], [], color=STABLE, label="stable"),
            Line2D([], [], color=UNSTABLE, linestyle=(0, (3, 1.5)), label="unstable"),
        ]
        for kind, (marker, color) in MARKS.items():
            found = [each for each in branches.bifurcations if each.kind == kind]
            if found:
                style: Any = {"marker": marker, "color": color, "linestyle": "none", "markersize": 4, "label": kind}
                height = project(np.stack([each.state for each in found]))
                handles += axes.plot([each.parameter for each in found], height, zorder=3, **style)
        axes.set_xlim(*sorted((branches.start, branches.stop)))
        wrong = branches.index_sums.parameters[branches.index_sums.is_wrong] if branches.has_box else []
        if len(wrong):
            handles += axes.plot(
                wrong, np.full(len(wrong), 0.01), "|", color=GREY, transform=axes.get_xaxis_transform(),
                label="index sum not 1",
            )  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _projection(branches: Any, readout: Any) -> Any:
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
    """Draw the runs of stable and of unstable points; a run begins at the last point of the one before."""
    changes = np.flatnonzero(np.diff(is_stable)) + 1
    for first, last in zip([0, *changes], [*changes, len(parameters)], strict=True):
        piece = slice(max(first - 1, 0), last)
        style = {"color": STABLE} if is_stable[first] else {"color": UNSTABLE, "linestyle": (0, (3, 1.5))}
        axes.plot(parameters[piece], np.asarray(heights)[piece], **style)
