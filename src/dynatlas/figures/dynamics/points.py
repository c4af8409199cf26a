"""Fixed and slow points in two dimensions, coloured by their unstable directions."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dynatlas.figures.legends import point_handles
from dynatlas.figures.looks import UNSTABLE, unstable_color
from dynatlas.figures.style import GREY, new_figure, styled


def points_figure(points: Any, readout: Any = None) -> Figure:
    """Draw points: full marks for stable ones, hollow ones for saddles, crosses for slow points.

    Args:
        points: the result of ``find_fixed_points``.
        readout: weights [2, n] of the axes; by default the first two principal components of the points.

    Raises:
        ValueError: the readout has another shape.
    """
    n = points.states.shape[1]
    names = ["first principal component", "second principal component"]
    if readout is None:
        places, share = _principal(points.states)
        names = [f"{name} ({100 * of:.0f} %)" for name, of in zip(names, share, strict=True)]
    else:
        weights = np.asarray(readout, float)
        if weights.shape != (2, n):
            raise ValueError(f"readout has shape {weights.shape}; expected [2, {n}]")
        places, names = points.states @ weights.T, ["readout 1", "readout 2"]
    with styled():
        figure = new_figure(3.0, width=4.2)
        axes = figure.subplots()
        axes.set(xlabel=names[0], ylabel=names[1])
        seen: set[Any] = set()
        for kind in range(len(UNSTABLE)):
            chosen = ~points.is_slow & (np.minimum(points.n_unstable, len(UNSTABLE) - 1) == kind)
            if chosen.any():
                seen.add(kind)
                face = unstable_color(kind) if kind == 0 else "none"
                style: Any = {"s": 22, "facecolors": face, "edgecolors": unstable_color(kind), "linewidths": 1.1}
                axes.scatter(places[chosen, 0], places[chosen, 1], **style)
        if points.is_slow.any():
            seen.add("slow")
            slow = places[points.is_slow]
            axes.scatter(slow[:, 0], slow[:, 1], s=18, marker="x", color=GREY, linewidths=0.8)
        handles = point_handles(seen)
        if handles:
            figure.legend(handles=handles, loc="outside lower center", ncols=min(3, len(handles)))
    return figure


def _principal(states: Any) -> tuple[Any, Any]:
    """Return the points on their first two principal axes, and the shares of the variance."""
    centred = states - states.mean(axis=0) if len(states) else states
    _, scale, axes = np.linalg.svd(centred, full_matrices=False)
    padded = np.zeros((2, states.shape[1]))
    padded[: min(2, len(axes))] = axes[:2]
    share = np.zeros(2)
    share[: min(2, len(scale))] = (scale**2 / max((scale**2).sum(), 1e-300))[:2]
    return centred @ padded.T, share
