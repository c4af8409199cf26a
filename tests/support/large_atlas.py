"""The synthetic atlas at the sizes of real studies: each network copies one of the demo.

Every network has its settings, its error and its place on every map. Details (losses, fixed points, state space,
spectrum) are stored for one network of each task, architecture and activation, and one distance matrix for each task:
further files would only be copies.
"""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from dynatlas.study.members import Member
from dynatlas.study.study import Study
from support.synthetic_atlas import SyntheticAtlas

# Number of networks → numbers of units, values of L2 and seeds; the demo has 24 combinations of task and variant.
POPULATIONS = {72: (1, 1, 3), 1008: (3, 2, 7), 8640: (3, 4, 30)}
OF_ONE_NETWORK = (
    *("losses", "searches", "fixed_points", "transitions", "attractors", "oscillations"),
    *("line_attractors", "transition_sensitivity"),
)
MEMBER_COLUMNS = ("name", "task", "architecture", "activation", "units", "l2", "seed")


def large_atlas(demo: SyntheticAtlas, count: int) -> SyntheticAtlas:
    """Return a synthetic atlas of 72, 1,008 or 8,640 networks."""
    units, penalties, seeds = POPULATIONS[count]
    sizes = {"units": [32, 64, 128][:units], "l2": [1e-5, 1e-4, 1e-3, 1e-2][:penalties], "seeds": seeds}
    study = Study.model_validate(Study.load("demo").model_dump(mode="json") | {"population": sizes})
    assert len(study.members) == count
    twins = _twins(demo.study, study)
    networks = demo.table("networks").set_index("network").loc[list(twins.values())].reset_index()
    for column in MEMBER_COLUMNS:
        networks[column] = [getattr(member, column) for member in study.members]
    networks["network"] = list(twins)
    tables = {name: demo.table(name) for name in ("headline", "effects", "claims", "maps")} | {"networks": networks}
    random = np.random.default_rng(0)
    passed = networks[networks["passed"]]
    for name, axes in (("embeddings", "xy"), ("embeddings_3d", "xyz")):
        tables[name] = _places(demo.table(name), passed, twins, axes, random)
    of_one = {member.id: twins[member.id] for member in _detailed(demo, study, twins)}
    for name in OF_ONE_NETWORK:
        rows = demo.table(name)
        parts = [rows[rows["network"] == twin].assign(network=network) for network, twin in of_one.items()]
        tables[name] = pd.concat(parts, ignore_index=True)
    groups = _groups(demo, study, of_one) | _distances(tables["embeddings"], study)
    return SyntheticAtlas(study, tables, groups)


def _twins(demo: Study, study: Study) -> dict[str, str]:
    """Map each network to one of the demo with the same task and variant, and with its seed modulo the demo's seeds."""
    seeds = demo.population.seeds
    kinds = {(*member.shape[:3], member.seed): member.id for member in demo.members}
    return {member.id: kinds[*member.shape[:3], member.seed % seeds] for member in study.members}


def _detailed(demo: SyntheticAtlas, study: Study, twins: dict[str, str]) -> list[Member]:
    firsts: dict[Any, Member] = {}
    for member in study.members:
        if f"arrays.zarr/trajectories/{twins[member.id]}" in demo.entries:
            firsts.setdefault(member.shape[:3], member)
    return list(firsts.values())


def _places(
    places: pd.DataFrame, passed: pd.DataFrame, twins: dict[str, str], axes: str, random: np.random.Generator
) -> pd.DataFrame:
    """Place every network near its twin, on every map that shows the twin."""
    pairs = pd.DataFrame({"network": passed["network"], "twin": passed["network"].map(twins)})
    rows = pairs.merge(places.rename(columns={"network": "twin"}), on="twin").drop(columns="twin")
    for axis in axes:
        rows[axis] += 0.05 * random.normal(size=len(rows))
    return rows.sort_values(["task", "measure"], kind="stable").reset_index(drop=True)


def _groups(demo: SyntheticAtlas, study: Study, of_one: dict[str, str]) -> dict[str, xr.Dataset]:
    members = {member.id: member for member in study.members}
    twins = {member.id: member for member in demo.study.members}
    groups = {}
    for network, twin in of_one.items():
        groups[f"trajectories/{network}"] = demo.arrays(f"trajectories/{twin}")
        spectra = demo.arrays(f"fixed_points/{demo.study.block_of(twins[twin]).name}")
        spectra = spectra.isel(row=np.flatnonzero(spectra["network"].values == twin))
        named = spectra.assign(network=("row", np.full(spectra.sizes["row"], network)))
        groups[f"fixed_points/{study.block_of(members[network]).name}"] = named
    return groups


def _distances(places: pd.DataFrame, study: Study) -> dict[str, xr.Dataset]:
    measure, groups = study.analysis.measures[0], {}
    for task, rows in places[places["measure"] == measure].groupby("task"):
        at = rows[["x", "y"]].to_numpy(np.float32)
        away = np.sqrt(((at[:, None] - at) ** 2).sum(axis=-1))
        ids = rows["network"].to_numpy(str)
        groups[f"distances/{task}/{measure}"] = xr.Dataset(
            {"distance": (("network", "other_network"), away)}, coords={"network": ids, "other_network": ids}
        )
    return groups
