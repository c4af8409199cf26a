"""Maps of networks, in one file beside the page for each distance matrix."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from dynatlas._util.json import Json
from dynatlas._util.selection import even_selection
from dynatlas.atlas.schema import TABLES
from dynatlas.atlas.view import AtlasLike, Missing, distances, embedding, map_facts, map_note, measures, table, tasks
from dynatlas.measures.aspects import ASPECTS
from dynatlas.measures.findings import aspect
from dynatlas.measures.registry import measure_label
from dynatlas.report.values import cells, rounded

MOST_MATRIX_ROWS: Final = 300  # larger matrices are thinned evenly on the page only


def map_list(atlas: AtlasLike) -> list[dict[str, str]]:
    """Return the maps of the page, with their files."""
    return [
        {
            "task": task,
            "measure": measure,
            "label": measure_label(measure),
            "aspect": aspect(measure),
            "compares": ASPECTS[aspect(measure)],
            "file": f"map-{task}-{measure}",
        }
        for task in tasks(atlas)
        for measure in measures(atlas, task)
    ]


def map_details(atlas: AtlasLike) -> Iterator[tuple[str, Json]]:
    """Yield (file, content) for every map; a missing part is replaced by a message."""
    for one in map_list(atlas):
        task, measure = one["task"], one["measure"]
        content: Json = {}
        for name, read in (("flat", _map_2d), ("solid", _map_3d), ("matrix", _matrix), ("effects", _effects)):
            try:
                content[name] = read(atlas, task, measure)
            except Missing as missing:
                content[name] = {"missing": str(missing)}
        facts = map_facts(atlas, task, measure)
        content["facts"] = (
            None
            if facts is None
            else {name: cells(facts.to_frame().T[name].infer_objects())[0] for name in facts.index}
            | {"note": map_note(facts)}
        )
        yield one["file"], content


def _map_2d(atlas: AtlasLike, task: str, measure: str) -> Json:
    rows = embedding(atlas, task, measure)
    return {"network": rows["network"].tolist(), "x": rounded(rows["x"]), "y": rounded(rows["y"])}


def _map_3d(atlas: AtlasLike, task: str, measure: str) -> Json:
    rows = table(atlas, "embeddings_3d", task)
    rows = rows[rows["measure"] == measure]
    if rows.empty:
        raise Missing(f"The atlas has no three-dimensional map of the {measure} distances.")
    return {"network": rows["network"].tolist()} | {axis: rounded(rows[axis]) for axis in "xyz"}


def _matrix(atlas: AtlasLike, task: str, measure: str) -> Json:
    """Return the distances sorted by architecture and activation, to 4 digits."""
    networks, matrix = distances(atlas, task, measure)
    count = len(networks)
    keep = even_selection(range(count), MOST_MATRIX_ROWS)
    return {
        "network": networks["network"].iloc[keep].tolist(),
        "distance": rounded(matrix[np.ix_(keep, keep)]),
        "n_all": count,
    }


def _effects(atlas: AtlasLike, task: str, measure: str) -> Json:
    rows = table(atlas, "effects", task)
    rows = rows[rows["measure"] == measure]
    if rows.empty:
        raise Missing(f"No factor was tested on the {measure} distances.")
    return {column: cells(rows[column], 4) for column in TABLES["effects"] if column in rows}
