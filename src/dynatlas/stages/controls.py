"""The job that makes a task's controls: what its distances in geometry are to be held against.

They are made with an even selection of the trained networks, the same for every measure:

- ``reliability``: how well the distances from the even trials of the probe predict those from the odd ones, as a
  correlation over pairs, corrected to the whole probe (Spearman–Brown): what no factor can explain more of.
- ``trained``: the mean distance between two trained networks.
- ``shuffled time``: the same when every network has its samples in an order of its own: what nothing in common gives.
- ``untrained``: the mean distance between two networks before training.
- ``own untrained``: between a network and itself before training.
- ``trained to untrained``: between a trained network and another one before training.
- ``explained by training``: the share of the variance between all of these networks (R² of PERMANOVA).

With untrained networks, those of each architecture are also put on a map, trained and untrained together.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynatlas.embedding import mds
from dynatlas.geometry import Measure
from dynatlas.pairs import Reduced, all_pairs, labelled
from dynatlas.progress import Report
from dynatlas.resampling import Interval, interval, mean_interval, mean_of_pairs, r2_resamples, reliability
from dynatlas.stages.geometry import controlled_members, controls_of
from dynatlas.statistics import explained
from dynatlas.store import Atlas, Entry
from dynatlas.study import Matrix

Array = NDArray[np.float64]


def controls(path: Path, task: str, report: Report) -> list[Entry]:
    """Write the rows of ``controls`` and, with untrained networks, the arrays of the same name."""
    atlas = Atlas.open(path)
    analysis = atlas.study.analysis
    entries = []
    for name in analysis.measures:
        measure = atlas.study.measure(name)
        networks, kept = _kept(atlas, task, name)
        rows = [
            {"control": control, "value": value, "low": ends.low, "high": ends.high, "n_networks": len(networks)}
            for control, (value, ends) in _values(kept, measure, analysis.bootstraps).items()
        ]
        matrix = Matrix(task, name)
        places = []
        if kept.get("untrained"):
            together = all_pairs(kept["whole"] + kept["untrained"], measure, threads=1)
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


def _places(together: Array, networks: list[str], architectures: list[str]) -> list[dict[str, Any]]:
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


def _values(kept: dict[str, list[Reduced]], measure: Measure, bootstraps: int) -> dict[str, tuple[float, Interval]]:
    """Control → (value, interval)."""
    if len(kept["whole"]) < 3:
        return {}
    matrices: dict[str, Array] = {
        version: all_pairs(networks, measure, threads=1) for version, networks in kept.items() if networks
    }
    means = {"trained": "whole", "shuffled time": "shuffled", "untrained": "untrained"}
    values: dict[str, tuple[float, Interval]] = {
        "reliability": reliability(matrices["even"], matrices["odd"], bootstraps)
    }
    for control, version in means.items():
        if version in matrices:
            values[control] = mean_of_pairs(matrices[version], bootstraps)
    if kept["untrained"]:
        across = measure.tile(kept["whole"], kept["untrained"])
        own = np.diagonal(across)
        values["own untrained"] = float(own.mean()), mean_interval(own, bootstraps)
        values["trained to untrained"] = mean_of_pairs((across + across.T) / 2, bootstraps)
        together = np.block([[matrices["whole"], across], [across.T, matrices["untrained"]]])
        halves = np.repeat([0, 1], len(across))
        if together.any():
            resampled = r2_resamples(together, [halves], halves, bootstraps)[0]
            values["explained by training"] = explained(together**2, halves), interval(resampled)
    return values
