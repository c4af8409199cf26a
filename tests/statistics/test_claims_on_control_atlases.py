"""No verdict is absurd on networks that learned nothing, on shuffled networks, and on a planted effect."""

import jax
import numpy as np
import pandas as pd
import pytest

from dynatlas.atlas.atlas import Atlas
from dynatlas.atlas.schema import TABLES
from dynatlas.pipeline.jobs import jobs_of
from dynatlas.statistics.claims import check_claims
from dynatlas.statistics.effects import factor_effects, subset_effects
from dynatlas.study.members import FACTORS
from support.studies import tiny_study
from support.synthetic_atlas import synthetic_atlas

pytestmark = pytest.mark.usefixtures("quick_compilation")
POPULATION = {
    "architectures": ["vanilla", "gru", "lstm"],
    "activations": ["tanh", "relu"],
    "units": [6],
    "l2": [0.0],
    "seeds": 3,
    "untrained_controls": True,
}
TASKS = [
    {"kind": "flip_flop", "steps": 30, "channels": 2, "probe_trials": 8},
    {"kind": "sine_wave", "dt": 0.05, "commands": 4},
    {"kind": "context_integration", "steps": 20},
]
CHEAP = {
    "fixed_point_starts": 64,
    "fixed_point_max_starts": 64,
    "attractor_steps": 512,
    "transition_trials": 8,
    "sensitivity_scales": [],
    "permutations": 199,
    "bootstraps": 99,
}


def store_as_trained(atlas: Atlas) -> None:
    """Write every network with its initial weights, as one that has passed."""
    blank = {"string": "", "int64": 0, "float64": 0.0, "bool": True}
    empty = {column: blank[declared.type] for column, declared in TABLES["networks"].items()}
    for block, members in atlas.study.blocks.items():
        cells = [atlas.study.cell(block, member.key("weights")) for member in members]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *cells)
        arrays = {
            f"{kind}/{path[-1].name}": leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(stacked)
            for kind in ("cell", "untrained")
        }
        labels = ("task", *FACTORS, "seed", "name")
        rows = [
            empty | {"network": member.id, "optimizer": "adam"} | {name: getattr(member, name) for name in labels}
            for member in members
        ]
        atlas.enter(
            atlas.write_block(block, members, arrays),
            atlas.write_part("networks", block, pd.DataFrame(rows)),
            atlas.write_part("losses", block, pd.DataFrame(columns=list(TABLES["losses"]))),
        )


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """The claims of an atlas of 54 networks before training, through every job of the pipeline but the report's."""
    study = tiny_study(tasks=TASKS, population=POPULATION, analysis=CHEAP)
    atlas = Atlas.create(tmp_path_factory.mktemp("untrained") / "atlas", study)
    with atlas.lock():
        store_as_trained(atlas)
        for job in jobs_of(study):
            if job.stage not in ("training", "report"):
                atlas.enter(*job.compute(atlas.path, *job.arguments, lambda done, loss: None))
    return atlas.table("claims")


def of_claim(claims, *numbers):
    return claims[claims.claim.isin(numbers)]


def test_networks_that_learned_nothing_pass_no_claim_about_what_is_learned(untrained):
    for number in ("4", "5", "7a", "9"):
        rows = of_claim(untrained, number)
        rows = rows[~rows.quantity.str.contains("modal number|differ")]
        assert "holds" not in set(rows.verdict), rows[["quantity", "verdict", "value", "note"]].to_string()
    assert (of_claim(untrained, "7a").verdict == "does not hold").all()
    assert of_claim(untrained, "4").verdict.iloc[0] == "does not hold"


def test_their_own_untrained_selves_are_no_evidence(untrained):
    """Every network is its own past, at distance 0: relu networks are not nearer to others' pasts for that."""
    [row] = of_claim(untrained, "10").itertuples()
    assert np.isfinite(row.value)
    assert row.low <= row.value <= row.high


def with_distances(distances_of):
    """The claims of the synthetic atlas with other distances in every matrix, and their effects."""
    atlas = synthetic_atlas()
    networks = atlas.table("networks").set_index("network")
    rows = []
    for group in [name for name in atlas.groups if name.startswith("distances/")]:
        _, task, measure = group.split("/")
        stored = atlas.groups[group]
        labels = networks.loc[stored.network.values]
        matrix = distances_of(labels, stored["distance"].values)
        atlas.groups[group] = stored.assign(distance=(("network", "other_network"), matrix))
        levels = {factor: labels[factor].tolist() for factor in FACTORS}
        of = {"task": task, "measure": measure}
        rows += [of | {"subset": "all"} | row for row in factor_effects(matrix, levels, 999, 99)]
        rows += [of | row for row in subset_effects(matrix, levels, 999, 99)]
    atlas.tables["effects"] = pd.DataFrame(rows)
    return check_claims(atlas)


def euclidean(points):
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def separations(claims, factor):
    return claims[claims.quantity.str.startswith(f"R² of {factor} in")]


def test_shuffled_networks_are_separated_by_nothing():
    random = np.random.default_rng(0)

    def shuffled(labels, matrix):
        order = random.permutation(len(matrix))
        return matrix[np.ix_(order, order)]

    claims = with_distances(shuffled)
    for factor in ("architecture", "activation"):
        rows = separations(claims, factor)
        assert len(rows) > 10
        claimed = rows.quantity.str.contains("claimed: p <")
        assert not (rows.verdict[claimed] == "holds").any()
        assert not (rows.verdict[~claimed] == "does not hold").any()


def test_a_planted_effect_of_architecture_is_found_and_none_of_activation():
    random = np.random.default_rng(0)

    def planted(labels, matrix):
        codes = pd.factorize(labels["architecture"])[0]
        return euclidean(3 * np.eye(4)[codes] @ np.eye(4, 10) + random.normal(size=(len(labels), 10)))

    claims = with_distances(planted)
    rows = separations(claims, "architecture")
    rows = rows[~rows.quantity.str.contains("among")]
    claimed = rows.quantity.str.contains("claimed: p <")
    assert (rows.verdict[claimed] == "holds").all()
    assert (rows.verdict[~claimed] == "does not hold").all()
    others = separations(claims, "activation")
    claimed = others.quantity.str.contains("claimed: p <")
    assert not (others.verdict[claimed] == "holds").any()
    assert not (others.verdict[~claimed] == "does not hold").any()
