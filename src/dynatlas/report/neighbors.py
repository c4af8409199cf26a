"""The networks nearest to each one, by every measure."""

from typing import Any, Final

import numpy as np

from dynatlas.figures.reading import AtlasLike, Missing, distances, measures

N_NEAREST: Final = 6


def nearest(atlas: AtlasLike, task: str) -> dict[str, dict[str, list[tuple[str, float]]]]:
    """Network → measure → its nearest others, (id, distance), the nearest first; measures not stored are left out."""
    found: dict[str, dict[str, list[tuple[str, float]]]] = {}
    for measure in measures(atlas, task):
        try:
            networks, matrix = distances(atlas, task, measure)
        except Missing:
            continue
        ids = networks["network"].tolist()
        away = np.asarray(matrix, np.float64).copy()
        np.fill_diagonal(away, np.inf)
        order = np.argsort(away, axis=1, kind="stable")[:, : min(N_NEAREST, len(ids) - 1)]
        for row, network in enumerate(ids):
            near = [(ids[column], _digits(away[row, column])) for column in order[row]]
            found.setdefault(network, {})[measure] = near
    return found


def _digits(value: Any) -> float:
    return float(f"{value:.4g}") if np.isfinite(value) else -1.0
