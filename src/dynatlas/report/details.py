"""Details of single networks, in files that the page loads on demand."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from dynatlas._util.json import Json
from dynatlas.atlas.view import AtlasLike, Missing, arrays, distances, measures, table, tasks
from dynatlas.report.spaces import state_space
from dynatlas.report.tables import network_files
from dynatlas.report.values import cells, rounded
from dynatlas.study.members import Member

# Eigenvalues stored per point, by largest modulus: the others lie near 0 and would fill most of the file.
MOST_EIGENVALUES: Final = 32

# Tables whose rows are shown for a network, and the columns shown.
SHOWN: Final = {
    "losses": ("iteration", "training_loss", "validation_mse"),
    "behavior": ("variation", "error"),
    "activity": ("participation_ratio", "intrinsic_dimension", "explained_share", "selectivity"),
    "fixed_points": (
        *("condition", "is_slow", "n_unstable", "index", "q", "hits"),
        *("spectral_radius", "time_constant", "readout"),
    ),
    "transitions": ("source", "target", "probability"),
    "searches": (
        "condition_name",
        "n_roots",
        "n_stable",
        "n_slow",
        "index_sum",
        *("certificate", "certificate_reason"),
        "n_starts",
    ),
    "oscillations": ("frequency", "linear_frequency", "spectral_radius"),
    "line_attractors": (
        *("condition_name", "low", "high", "line_share", "drift_share", "held_range"),
        *("response_median", "n_points", "modes_needed"),
    ),
    "robustness": ("condition", "point", "probe_share", "size", "relative_size", "destination", "saddle"),
    "attractors": ("condition", "kind", "rotation_number", "exponent_1"),
}


def network_details(atlas: AtlasLike) -> Iterator[tuple[str, Json]]:
    """Yield (file, id → details) for every file of networks; a missing part is replaced by a message."""
    rows = {name: _by_network(atlas, name) for name in SHOWN}
    near = {network: found for task in tasks(atlas) for network, found in nearest(atlas, task).items()}
    members = {member.id: member for member in atlas.study.members}
    for file, ids in network_files(atlas.study).items():
        yield file, {network: _details(atlas, members[network], rows, near.get(network, {})) for network in ids}


def _details(
    atlas: AtlasLike, member: Member, rows: Mapping[str, Mapping[str, pd.DataFrame] | str], near: Mapping[str, Any]
) -> Json:
    shown: Json = {}
    for name, columns in SHOWN.items():
        of_all = rows[name]
        if isinstance(of_all, str):
            shown[name] = {"missing": of_all}
        elif member.id in of_all:
            frame = of_all[member.id]
            shown[name] = {column: cells(frame[column], 5) for column in columns if column in frame}
        else:
            shown[name] = {"missing": ""}
    points = rows["fixed_points"]
    own = points.get(member.id, _NO_POINTS) if not isinstance(points, str) else _NO_POINTS
    shown["space"] = _or_missing(lambda: state_space(atlas, member, own))
    shown["eigenvalues"] = _or_missing(lambda: _eigenvalues(atlas, member))
    shown["neighbors"] = near
    return shown


_NO_POINTS: Final = pd.DataFrame({"condition": [], "is_slow": [], "n_unstable": []})


def _by_network(atlas: AtlasLike, name: str) -> dict[str, pd.DataFrame] | str:
    try:
        return {str(network): rows for network, rows in table(atlas, name).groupby("network", sort=False)}
    except Missing as missing:
        return str(missing)


def _eigenvalues(atlas: AtlasLike, member: Member) -> Json:
    """Return the eigenvalues of largest modulus of every point [point][mode], in the order of the points."""
    data = arrays(atlas, f"fixed_points/{atlas.study.block_of(member).name}", member.task)
    own = data["eigenvalues"].values[data["network"].values.astype(str) == member.id]
    order = np.argsort(-np.abs(own), axis=1, kind="stable")[:, :MOST_EIGENVALUES]
    largest = np.take_along_axis(own, order, axis=1)
    return {"real": rounded(largest.real), "imaginary": rounded(largest.imag), "n_all": own.shape[1]}


def _or_missing(read: Any) -> Json:
    try:
        return dict(read())
    except Missing as missing:
        return {"missing": str(missing)}


N_NEAREST: Final = 6


def nearest(atlas: AtlasLike, task: str) -> dict[str, dict[str, list[tuple[str, float]]]]:
    """Return network → measure → nearest networks (id, distance), in order; measures not stored are left out."""
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
            near = [(ids[column], _four_digits(away[row, column])) for column in order[row]]
            found.setdefault(network, {})[measure] = near
    return found


def _four_digits(value: Any) -> float:
    return float(f"{value:.4g}") if np.isfinite(value) else -1.0
