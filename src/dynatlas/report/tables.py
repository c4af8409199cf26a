"""The stored tables for the page, one file beside it for each."""

from collections.abc import Iterator
from typing import Any, Final

from dynatlas._util.json import Json
from dynatlas.atlas.schema import TABLES
from dynatlas.atlas.view import AtlasLike, Missing, table
from dynatlas.report.values import cells
from dynatlas.study.study import Study

MOST_ROWS: Final = 20_000  # more would keep a browser busy for seconds; the whole table is in the atlas
# The tables that a reader of a study asks for first come first.
FIRST: Final = ("networks", "headline", "effects", "claims", "searches", "fixed_points")

_ABOUT: Final = {
    "networks": "Every network: its settings, its error, whether it passed.",
    "headline": "How the variance between networks is shared out among the factors.",
    "effects": "Whether each factor tells networks apart, by each measure.",
    "claims": "The claims of the paper, each with a verdict.",
    "searches": "How the search for fixed points went, for every network and static input.",
    "fixed_points": "Every fixed or slow point.",
    "losses": "Loss during training.",
    "samples": "The samples of the hyperparameter search.",
    "sample_losses": "Loss of the samples of the hyperparameter search.",
    "mappings": "How fast networks of each shape train, by the number computed side by side.",
    "transitions": "Which fixed point leads to which stable one, and how often.",
    "transition_sensitivity": "How much a transition graph depends on the size of the displacement.",
    "attractors": "What each network does when left alone after a trial.",
    "oscillations": "Sine task: the frequency of each command, linearised.",
    "frequencies": "Sine task: frequencies averaged over networks.",
    "line_attractors": "Integration task: the slow manifold that holds the sum.",
    "spectra": "Integration task: mean eigenvalues along the manifold.",
    "embeddings": "Places on the maps in two dimensions.",
    "embeddings_3d": "Places on the maps in three dimensions.",
    "maps": "How many networks each map shows, and how faithful it is.",
    "controls": "Reference values for the distances.",
    "control_embeddings": "Where each network stands on its architecture’s map, trained and before training.",
}


def table_list(atlas: AtlasLike) -> list[Json]:
    """Every table of the schema: its columns, their meaning, its file, or what is missing."""
    names = [*FIRST, *(name for name in TABLES if name not in FIRST)]
    return [_described(atlas, name) for name in names if name in TABLES]


def _described(atlas: AtlasLike, name: str) -> Json:
    try:
        frame = table(atlas, name)
    except Missing as missing:
        return {"name": name, "about": _ABOUT[name], "missing": str(missing)}
    columns = [[column, declared.meaning] for column, declared in TABLES[name].items() if column in frame]
    return {
        "name": name,
        "about": _ABOUT[name],
        "missing": "",
        "n_rows": len(frame),
        "columns": columns,
        "file": f"table-{name}",
    }


def table_details(atlas: AtlasLike) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    """(file, column → values) for every table that is stored, of a large one the first rows."""
    for described in table_list(atlas):
        if not described["missing"]:
            rows = table(atlas, described["name"]).head(MOST_ROWS)
            yield described["file"], {column: cells(rows[column]) for column, _ in described["columns"]}


# A file for each network would be thousands of entries in the manifest, one for each block megabytes to open one.
NETWORKS_PER_FILE: Final = 8


def population(atlas: AtlasLike) -> Json:
    """The table ``networks`` by column, and the detail ``file`` of each.

    Raises:
        Missing: it is not stored.
    """
    networks = table(atlas, "networks")
    file_of = {network: name for name, ids in network_files(atlas.study).items() for network in ids}
    columns = {name: cells(networks[name]) for name in TABLES["networks"]}
    return columns | {"file": [file_of.get(network, "") for network in columns["network"]]}


def network_files(study: Study) -> dict[str, list[str]]:
    """The detail files of the networks: name → ids."""
    return {
        f"network-{block.name}-{start // NETWORKS_PER_FILE}": [
            member.id for member in members[start : start + NETWORKS_PER_FILE]
        ]
        for block, members in study.blocks.items()
        for start in range(0, len(members), NETWORKS_PER_FILE)
    }
