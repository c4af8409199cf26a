"""State space of a network for the page: probe trajectories and fixed points in three principal components."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import LinearSegmentedColormap, to_hex

from dynatlas._util.json import Json
from dynatlas.atlas.view import AtlasLike, Missing, arrays
from dynatlas.figures.state_spaces import ColorScale, color_scale, select_state_space
from dynatlas.report.values import rounded
from dynatlas.study.members import Member


def state_space(atlas: AtlasLike, member: Member, points: pd.DataFrame) -> Json:
    """Return trajectories with their colours, and the places of ``points``, the network's rows of ``fixed_points``.

    Raises:
        Missing: no state space is stored.
    """
    task = atlas.study.task(member.task)
    space = select_state_space(task, _load(atlas, member), points.reset_index(drop=True))
    scale = color_scale(atlas, member.task)
    extent = np.concatenate([space.trajectories.reshape(-1, space.points.shape[1]), space.points])
    return {
        "paths": rounded(np.moveaxis(space.trajectories, -1, 1)),  # [trial][component][step]
        "colors": [] if scale is None else _colors(space.values, scale),
        "values": rounded(space.values),
        "contexts": space.contexts.tolist() if space.contexts.any() else [],
        "share": rounded(space.variance_share, 3),
        "row": space.table.index.tolist(),
        "at": rounded(space.points.T),
        "directions": rounded(space.directions.T),
        "reach": float(f"{0.1 * np.ptp(extent, axis=0).max():.3g}") if len(extent) else 0.0,
        "n_outside": space.n_outside,
    }


def _colors(values: Any, scale: ColorScale) -> list[str]:
    colors = LinearSegmentedColormap.from_list("", list(scale.colors))
    return [to_hex(colors(float(share))) for share in (values - scale.low) / max(scale.high - scale.low, 1e-12)]


def _load(atlas: AtlasLike, member: Member) -> xr.Dataset:
    """Load the network's part of its block; without a block, the group ``trajectories`` of a representative."""
    block = atlas.study.block_of(member).name
    group = f"state_spaces/{block}"
    if atlas.has(f"arrays.zarr/{group}") and atlas.has(f"arrays.zarr/fixed_points/{block}"):
        data = atlas.arrays(group)
        if member.id in data["network"].values:
            rows = atlas.arrays(f"fixed_points/{block}")["network"].values.astype(str) == member.id
            return data.sel(network=member.id).isel(row=np.flatnonzero(rows))
    if atlas.has(f"arrays.zarr/trajectories/{member.id}"):
        return atlas.arrays(f"trajectories/{member.id}")
    arrays(atlas, group, member.task)  # raises if the whole block is missing
    raise Missing("No state space of this network is stored: only networks that passed are analysed.")
