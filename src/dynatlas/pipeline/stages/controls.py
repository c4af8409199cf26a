"""Job that makes a task's controls: reference values for its distances in geometry.

They are made with an even selection of the trained networks, the same for every measure:

- ``reliability``: how well the distances from the even trials of the probe predict those from the odd ones, as a
  correlation over pairs, corrected to the whole probe (Spearman–Brown); 0 if they are not positively correlated.
- ``trained``: the mean distance between two trained networks.
- ``shuffled time``: the same when every network has its samples in an order of its own: what nothing in common gives.
- ``untrained``: the mean distance between two networks before training.
- ``own untrained``: between a network and itself before training.
- ``trained to untrained``: between a trained network and another one before training.
- ``explained by training``: the share of the variance between all of these networks (R² of PERMANOVA).

With untrained networks, those of each architecture are also put on a map, trained and untrained together.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynatlas._util.json import Json
from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.measures.measure import Measure
from dynatlas.measures.pairs import Reduced, all_pairs, compare, in_groups, labelled
from dynatlas.pipeline.progress import Report
from dynatlas.pipeline.stages.reduction import controlled_members, controls_of
from dynatlas.statistics.embedding import mds
from dynatlas.statistics.intervals import Interval, mean_interval
from dynatlas.statistics.pairs import explained_by_halves, mean_of_pairs, reliability
from dynatlas.study.members import Matrix

Array = NDArray[np.float64]


def make_controls(path: Path, task: str, report: Report) -> list[Entry]:
    """Write the rows of ``controls`` and, with untrained networks, the arrays of the same name."""
    atlas = Atlas.open(path)
    entries = []
    for name in atlas.study.analysis.activity_measures:
        measure = atlas.study.measure(name)
        networks, kept = _kept(atlas, task, name)
        distances = _distances(kept, measure)
        rows = [
            {"control": control, "value": value, "low": ends.low, "high": ends.high, "n_networks": len(networks)}
            for control, (value, ends) in _values(distances).items()
        ]
        matrix = Matrix(task, name)
        places = []
        if "across" in distances:
            together = _together(distances)
            names = [*networks, *(f"{network} untrained" for network in networks)]
            is_trained = np.repeat([True, False], len(networks))
            dataset = labelled(together, names, name).rename("distance").to_dataset()
            entries.append(
                atlas.write_arrays(f"controls/{task}/{name}", dataset.assign(is_trained=("network", is_trained)))
            )
            architecture_of = {member.id: member.architecture for member in atlas.study.members_of(task)}
            places = _places(together, networks, [architecture_of[network] for network in networks])
        for table, of_table in (("controls", rows), ("control_embeddings", places)):
            frame = pd.DataFrame([matrix._asdict() | row for row in of_table])
            entries.append(atlas.write_part(table, matrix, frame))
    return entries


def _places(together: Array, networks: list[str], architectures: list[str]) -> list[Json]:
    """A map of each architecture's networks; ``together`` [2 networks, 2 networks], the trained ones first."""
    rows = []
    for architecture in dict.fromkeys(architectures):
        own = np.flatnonzero(np.array(architectures * 2) == architecture)
        coordinates, stress = mds(together[np.ix_(own, own)])
        rows += [
            {
                "architecture": architecture,
                "network": networks[place % len(networks)],
                "is_trained": bool(place < len(networks)),
                "x": x,
                "y": y,
                "stress": stress,
            }
            for place, (x, y) in zip(own, coordinates, strict=True)
        ]
    return rows


def _kept(atlas: Atlas, task: str, measure: str) -> tuple[list[str], dict[str, list[Reduced]]]:
    """The networks, in the study's order, and what is kept of each, by version."""
    whole: dict[str, Reduced] = {}
    versions: dict[str, Reduced] = {}
    for block in atlas.study.blocks:
        if block.task == task:
            whole |= atlas.reduced(measure, block)
            versions |= atlas.reduced(controls_of(measure), block)
    networks = [member.id for member in controlled_members(atlas.study, task) if member.id in whole]
    kept = {"whole": [whole[network] for network in networks]}
    for version in ("even", "odd", "shuffled", "untrained"):
        kept[version] = [versions[f"{network} {version}"] for network in networks if f"{network} {version}" in versions]
    return networks, kept


def _distances(kept: dict[str, list[Reduced]], measure: Measure) -> dict[str, Array]:
    """The distances within each version, and ``across`` from the trained to the untrained networks."""
    distances = {version: all_pairs(networks, measure, threads=1) for version, networks in kept.items() if networks}
    if kept["untrained"]:
        whole, untrained = in_groups(kept["whole"]), in_groups(kept["untrained"])
        distances["across"] = compare(whole, untrained, measure, threads=1)
    return distances


def _together(distances: dict[str, Array]) -> Array:
    """Between all networks, the trained ones first."""
    across = distances["across"]
    return np.block([[distances["whole"], across], [across.T, distances["untrained"]]])


def _values(distances: dict[str, Array]) -> dict[str, tuple[float, Interval]]:
    """Control → (value, interval)."""
    if len(distances.get("whole", ())) < 3:
        return {}
    means = {"trained": "whole", "shuffled time": "shuffled", "untrained": "untrained"}
    values: dict[str, tuple[float, Interval]] = {"reliability": reliability(distances["even"], distances["odd"])}
    for control, version in means.items():
        if version in distances:
            values[control] = mean_of_pairs(distances[version])
    if "across" in distances:
        across = distances["across"]
        own = np.diagonal(across)
        values["own untrained"] = float(own.mean()), mean_interval(own)
        values["trained to untrained"] = mean_of_pairs((across + across.T) / 2)
        values["explained by training"] = explained_by_halves(_together(distances))
    return values
