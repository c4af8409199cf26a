"""An atlas of random networks for comparisons of activity, created in a second."""

import equinox as eqx
import jax
import numpy as np
import pandas as pd

from dynatlas.atlas.atlas import Atlas
from dynatlas.atlas.schema import columns
from dynatlas.cells.responses import probe_activity
from dynatlas.measures.distances import distance_matrix
from dynatlas.measures.registry import MEASURES
from dynatlas.pipeline.stages.comparison import compare_tile, join_tiles, tiles_of
from dynatlas.pipeline.stages.reduction import count_components
from dynatlas.statistics.embedding import mds
from dynatlas.study.study import Study
from support.studies import tiny_study

TASK = {"kind": "flip_flop", "steps": 12, "channels": 2, "pulse_probability": 0.2, "probe_trials": 10}


def random_atlas(folder, *, untrained=True, measures=("svcca", "cka"), controls=128, failed=(), **changes):
    """Create an atlas whose "trained" networks have weak recurrent weights, so that they follow their inputs.

    Args:
        folder: folder of the atlas.
        untrained: whether the atlas keeps untrained networks, which have random recurrent weights.
        measures: measures of the study.
        controls: largest number of networks in the controls.
        failed: architectures whose networks did not pass.
        changes: of the study, as in ``tiny_study``.

    Returns:
        The atlas, and activity on the probe [samples, units] by ("trained" or "untrained", network).
    """
    study = tiny_study(
        name="random <b>networks</b>",
        tasks=[TASK],
        population={
            "architectures": ["vanilla", "gru"],
            "units": [6],
            "l2": [0.0],
            "seeds": 4,
            "untrained_controls": untrained,
        },
        training={"iterations": 1, "batch_size": None, "validation_trials": None},
        analysis={"measures": measures, "permutations": 199, "bootstraps": 99, "control_networks": controls},
    )
    study = Study.model_validate(study.model_dump(mode="json") | changes)
    atlas = Atlas.create(folder, study)
    inputs = study.tasks[0].probe().inputs
    random = np.random.default_rng(0)
    entries, activities = [], {}
    for block, members in study.blocks.items():
        cells = jax.eval_shape(lambda block=block: study.cell(block, jax.random.key(0)))
        before = _random_cells(random, cells, len(members))
        after = eqx.tree_at(lambda cell: cell.recurrent_weights, before, 0.05 * before.recurrent_weights)
        arrays = _arrays("cell", after) | (_arrays("untrained", before) if untrained else {})
        rows = pd.DataFrame(
            [
                _row("networks", _labels(member) | {"passed": member.architecture not in failed}, study.further_factors)
                for member in members
            ]
        )
        entries += [atlas.write_block(block, members, arrays), atlas.write_part("networks", block, rows)]
        for place, member in enumerate(members):
            for version, cell in (("trained", after), ("untrained", before)):
                own = jax.tree.map(lambda leaf, place=place: leaf[place], cell)
                activities[version, member.id] = probe_activity(own, inputs)
    atlas.enter(*entries)
    if study.analysis.agreeing:
        for block in study.blocks:
            atlas.enter(*count_components(folder, block, quiet))
    atlas.enter(
        *(atlas.write_table(name, pd.DataFrame(rows)) for name, rows in _maps(study, activities, inputs).items())
    )
    return atlas, activities


def _random_cells(random, cells, count):
    """Draw ``count`` cells with weights of about unit gain."""

    def leaf(of_one):
        return (random.normal(size=(count, *of_one.shape)) / np.sqrt(of_one.shape[-1])).astype(np.float32)

    return jax.tree.map(leaf, cells)


def _arrays(version, cells):
    return {f"{version}/{path[-1].name}": leaf for path, leaf in jax.tree_util.tree_flatten_with_path(cells)[0]}


def _maps(study, activities, inputs):
    rows = {"embeddings": [], "maps": []}
    trained = {network: activity for (version, network), activity in activities.items() if version == "trained"}
    for measure in study.analysis.measures:
        coordinates, stress = mds(
            distance_matrix(trained, measure, inputs=inputs if MEASURES[measure].needs_trials else None)
        )
        label = {"task": "flip_flop", "measure": measure}
        rows["maps"].append(_row("maps", label | {"stress": stress, "n_networks": len(trained)}))
        rows["embeddings"] += [
            _row("embeddings", label | {"network": network, "x": x, "y": y})
            for network, (x, y) in zip(trained, coordinates.tolist(), strict=True)
        ]
    return rows


def _labels(member):
    names = ("task", "seed", "name")
    return {"network": member.id} | member.factors | {name: getattr(member, name) for name in names}


def _row(table, values, factors=()):
    nothing = {"string": "", "int64": 0, "float64": 0.0, "bool": False}
    return {name: values.get(name, nothing.get(column.type)) for name, column in columns(table, factors).items()}


def quiet(done, loss):
    """Receive the progress of a job."""


def joined(atlas, matrix):
    """Compare all networks of a matrix that are reduced, and return their distances."""
    with atlas.lock():
        for tile in tiles_of(atlas.study, matrix):
            atlas.enter(*compare_tile(atlas.path, tile, quiet))
        atlas.enter(*join_tiles(atlas.path, matrix, quiet))
    return atlas.arrays(f"distances/{matrix.task}/{matrix.measure}")["distance"]
