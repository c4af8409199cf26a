"""The jobs that compare: distances between all networks, joined tables, embeddings, effects."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from dynatlas.embedding import mds
from dynatlas.geometry import distance_matrix
from dynatlas.graph_distances import frobenius_distances
from dynatlas.progress import Report
from dynatlas.stages.dynamics import TABLES as DYNAMICS_TABLES
from dynatlas.stages.integration import mean_spectra
from dynatlas.stages.networks import responses, trained
from dynatlas.stages.oscillations import mean_frequencies
from dynatlas.statistics import permanova
from dynatlas.store import Atlas, Entry
from dynatlas.study import Study

FACTORS = ("architecture", "activation", "units", "l2")


def geometry(path: Path, kind: str, report: Report) -> list[Entry]:
    """The distance matrices of a task's trained networks, from their activity on the probe."""
    atlas = Atlas.open(path)
    study = atlas.study
    inputs = study.task(kind).probe().inputs
    activities: dict[str, NDArray[np.float64]] = {}
    for block in study.blocks:
        if block.task != kind:
            continue
        for member, cell in trained(atlas, block):
            states, _ = responses(cell, inputs)
            hidden = np.asarray(states, np.float64)[..., : cell.units]
            activities[member.id] = hidden.reshape(-1, cell.units)
    entries = []
    for measure in study.analysis.measures:
        options: dict[str, Any] = {}
        if measure == "svcca":
            options = {"variance": study.analysis.svcca_variance, "components": study.analysis.svcca_components}
        distances = distance_matrix(activities, measure, **options) if activities else _no_distances(measure)
        entries.append(atlas.write_arrays(f"distances/{kind}/{measure}", distances.rename("distance").to_dataset()))
    return entries


def tables(path: Path, report: Report) -> list[Entry]:
    """Join the blocks' parts, in the study's order."""
    atlas = Atlas.open(path)
    return [atlas.write_table(name, atlas.join_parts(name)) for name in joined_tables(atlas.study)]


def joined_tables(study: Study) -> tuple[str, ...]:
    """The tables that blocks, configurations and shapes write in parts."""
    searched = ("samples", "sample_losses") if study.search else ()
    return ("networks", "losses", *DYNAMICS_TABLES, "mappings", *searched)


def maps(path: Path, report: Report) -> list[Entry]:
    """An embedding and the effects of every factor for every matrix; frequencies and spectra averaged over networks."""
    atlas = Atlas.open(path)
    study = atlas.study
    networks = atlas.table("networks").set_index("network")
    embeddings, rows, effects = [], [], []
    for task in study.tasks:
        trained = int((networks.passed & (networks.task == task.kind)).sum())
        for measure in (*study.analysis.measures, *task.topology):
            distances = atlas.arrays(f"distances/{task.kind}/{measure}")["distance"]
            names = [str(name) for name in distances["network"].values]
            coordinates, stress = mds(distances) if names else (np.zeros((0, 2)), 0.0)
            embeddings.append(
                pd.DataFrame(
                    {
                        "task": task.kind,
                        "measure": measure,
                        "network": names,
                        "x": coordinates[:, 0],
                        "y": coordinates[:, 1],
                    }
                )
            )
            left_out = trained - len(names)
            rows.append(
                {
                    "task": task.kind,
                    "measure": measure,
                    "n_networks": len(names),
                    "n_left_out": left_out,
                    "left_out_reason": distances.attrs.get("left_out_reason", "") if left_out else "",
                    "stress": stress,
                }
            )
            effects += [
                {"task": task.kind, "measure": measure} | effect for effect in _effects(distances, networks.loc[names])
            ]
    columns = ["task", "measure", "factor", "r2", "p", "n_networks"]
    of_networks = networks.reset_index()
    return [
        atlas.write_table("embeddings", pd.concat(embeddings, ignore_index=True)),
        atlas.write_table("maps", pd.DataFrame(rows)),
        atlas.write_table("effects", pd.DataFrame(effects, columns=columns)),
        atlas.write_table(
            "frequencies", mean_frequencies(atlas.table("oscillations"), atlas.table("attractors"), of_networks)
        ),
        atlas.write_table("spectra", mean_spectra(atlas, of_networks)),
    ]


def _no_distances(measure: str) -> xr.DataArray:
    return frobenius_distances({}, measure)


def _effects(distances: xr.DataArray, networks: pd.DataFrame) -> list[dict[str, Any]]:
    """PERMANOVA of every factor that varies, its labels permuted within the strata of the others."""
    varying = [factor for factor in FACTORS if networks[factor].nunique() > 1]
    effects = []
    for factor in varying:
        others = [other for other in varying if other != factor]
        strata = networks[others].astype(str).agg("/".join, axis=1).to_numpy() if others else None
        labels = networks[factor].astype(str).to_numpy()
        if strata is not None and not _permutable(labels, strata):
            continue
        if len(networks) <= len(set(labels)) or not np.any(distances.values):
            continue
        r2, p = permanova(distances, labels, strata)
        effects.append({"factor": factor, "r2": r2, "p": p, "n_networks": len(networks)})
    return effects


def _permutable(labels: NDArray[Any], strata: NDArray[Any]) -> bool:
    """Whether some stratum holds more than one label."""
    return any(len(set(labels[strata == stratum])) > 1 for stratum in set(strata))
