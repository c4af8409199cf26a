"""Stored tables for the page, each in one file beside it."""

from collections.abc import Iterator
from typing import Any, Final

from dynatlas._util.json import Json
from dynatlas.atlas.schema import columns, tables_of
from dynatlas.atlas.view import AtlasLike, Missing, table
from dynatlas.report.values import cells
from dynatlas.study.study import Study

MOST_ROWS: Final = 20_000  # more rows take seconds in a browser; the atlas has the whole table
# These tables come first in the list.
FIRST: Final = ("networks", "headline", "effects", "claims", "searches", "fixed_points")

_ABOUT: Final = {
    "networks": "Every network: its settings, its error, whether it passed.",
    "headline": "Partition of the variance between networks among the factors.",
    "effects": "Effect of each factor on the distances, by each measure.",
    "spread": "Mean distance between networks that differ in the seed alone, at each level of each factor.",
    "claims": "The claims of the paper, each with a verdict.",
    "behavior": "Error of each network under variations of its task.",
    "robustness": "Basins of each network's stable points, and the smallest perturbation that leaves each.",
    "activity": "Dimensions of each network's activity, and what its units follow.",
    "searches": "Outcome of the fixed-point search for every network and static input.",
    "fixed_points": "Every fixed or slow point.",
    "snapshots": "Error of networks during training.",
    "snapshot_distances": "Distances of networks during training to the trained ones.",
    "snapshot_searches": "Outcome of the fixed-point search during training.",
    "snapshot_points": "Every fixed or slow point during training.",
    "components": "Principal components that each network needs, for measures that take as many of every network.",
    "losses": "Loss during training.",
    "samples": "The samples of the hyperparameter search.",
    "sample_losses": "Loss of the samples of the hyperparameter search.",
    "mappings": "Training speed of each shape of network, by the number of networks trained in parallel.",
    "transitions": "Transitions from each fixed point to stable ones, with their probabilities.",
    "transition_sensitivity": "Dependence of transition graphs on the size of the displacement.",
    "attractors": "The attractor that each network reaches under each static input.",
    "oscillations": "Sine task: the linear frequency under each command.",
    "frequencies": "Sine task: frequencies averaged over networks.",
    "line_attractors": "Integration task: line attractors.",
    "spectra": "Integration task: mean eigenvalues at the points of the line attractors, first context.",
    "embeddings": "Coordinates on the two-dimensional maps.",
    "embeddings_3d": "Coordinates on the three-dimensional maps.",
    "maps": "Number of networks on each map, and its stress.",
    "controls": "Reference values for the distances.",
    "control_embeddings": "Coordinates of each network, trained and untrained, on the map of its architecture.",
}


def table_list(atlas: AtlasLike) -> list[Json]:
    """Return the tables of the study with their columns, their meaning and their file, or a message."""
    others = (name for name in tables_of(atlas.study) if name not in FIRST)
    return [_described(atlas, name) for name in (*FIRST, *others)]


def _described(atlas: AtlasLike, name: str) -> Json:
    try:
        frame = table(atlas, name)
    except Missing as missing:
        return {"name": name, "about": _ABOUT[name], "missing": str(missing)}
    declared = columns(name, atlas.study.further_factors)
    return {
        "name": name,
        "about": _ABOUT[name],
        "missing": "",
        "n_rows": len(frame),
        "columns": [[column, one.meaning] for column, one in declared.items() if column in frame],
        "file": f"table-{name}",
    }


def table_details(atlas: AtlasLike) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    """Yield (file, column → values) for every stored table; large tables are cut after ``MOST_ROWS``."""
    for described in table_list(atlas):
        if not described["missing"]:
            rows = table(atlas, described["name"]).head(MOST_ROWS)
            yield described["file"], {column: cells(rows[column]) for column, _ in described["columns"]}


# One file per network would add thousands of entries to the manifest; one per block would take megabytes to open.
NETWORKS_PER_FILE: Final = 8


def population(atlas: AtlasLike) -> Json:
    """Return the table ``networks`` by column, with the detail ``file`` of each network.

    Raises:
        Missing: the table is not stored.
    """
    networks = table(atlas, "networks")
    file_of = {network: name for name, ids in network_files(atlas.study).items() for network in ids}
    values = {name: cells(networks[name]) for name in columns("networks", atlas.study.further_factors)}
    return values | {"file": [file_of.get(network, "") for network in values["network"]]}


def network_files(study: Study) -> dict[str, list[str]]:
    """Return the detail files of the networks: name → ids."""
    return {
        f"network-{block.name}-{start // NETWORKS_PER_FILE}": [
            member.id for member in members[start : start + NETWORKS_PER_FILE]
        ]
        for block, members in study.blocks.items()
        for start in range(0, len(members), NETWORKS_PER_FILE)
    }
