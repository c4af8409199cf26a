"""Behavior, dynamics and weights among the measures of a study: from its file to its headline."""

import numpy as np
import pytest

from dynatlas import Atlas
from dynatlas.cells.symmetries.unit_weights import unit_weights
from dynatlas.measures.behavior import profile_distance
from dynatlas.measures.findings import OF_STUDIES, given_factors
from dynatlas.pipeline.jobs import jobs_of
from dynatlas.report.headline import shares
from dynatlas.training.variations import draw_variations, errors_of
from support.studies import tiny_study

pytestmark = pytest.mark.usefixtures("quick_compilation")
STUDY = tiny_study(
    tasks=[{"kind": "flip_flop", "steps": 12, "channels": 1}],
    population={"architectures": ["vanilla", "gru"], "activations": ["tanh", "relu"], "units": [4], "seeds": 3},
    training={"iterations": 2, "batch_size": 2},
    analysis={
        "measures": ["cka", "dsa", "behavior", "weights"],
        "fixed_point_starts": 16,
        "fixed_point_max_starts": 16,
        "permutations": 9,
    },
)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    """The atlas of the study's jobs, carried out one after the other; every network counts as trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dynatlas.tasks.flip_flop.FlipFlop.threshold", ("mse", 1e9))
        atlas = Atlas.create(tmp_path_factory.mktemp("levels") / "atlas", STUDY)
        for job in jobs_of(STUDY):
            if job.stage != "report":
                atlas.enter(*job.compute(atlas.path, *job.arguments, lambda done, loss: None))
        yield atlas


def distances_of(atlas, measure):
    return atlas.arrays(f"distances/flip_flop/{measure}")["distance"]


def test_the_table_has_the_errors_of_every_network_under_every_variation(atlas):
    table = atlas.table("behavior")
    variations = STUDY.variations("flip_flop")
    assert table.groupby("network", sort=False).variation.apply(list).to_list() == [list(variations)] * 12
    member = STUDY.members[5]
    expected = {
        error.variation: error.share for error in errors_of(atlas.network(member.id), draw_variations(variations, 4))
    }
    rows = table[table.network == member.id]
    assert dict(zip(rows.variation, rows.error, strict=True)) == pytest.approx(expected, rel=1e-4)


def test_the_distances_between_behaviors_are_those_between_error_profiles(atlas):
    table, distances = atlas.table("behavior"), distances_of(atlas, "behavior")
    one, other = STUDY.members[0].id, STUDY.members[7].id
    errors = [table.error[table.network == network].to_numpy() for network in (one, other)]
    found = float(distances.sel(network=one, other_network=other))
    assert found == pytest.approx(profile_distance(*errors), rel=1e-12)


def test_the_distances_between_weights_are_those_of_the_measure(atlas):
    distances = distances_of(atlas, "weights")
    assert len(distances) == 12
    for one, other in ((0, 1), (0, 8), (5, 11)):
        pair = [STUDY.members[place].id for place in (one, other)]
        reduced = [unit_weights(atlas.network(network)) for network in pair]
        expected = OF_STUDIES["weights"].comparison.between(*reduced)
        found = float(distances.sel(network=pair[0], other_network=pair[1]))
        assert found == pytest.approx(expected, abs=1e-9)


def test_the_headline_has_a_row_for_each_aspect(atlas):
    rows = {row.name: row for row in shares(atlas)}
    assert {row.aspect for row in rows.values()} >= {"geometry", "dynamics", "topology", "behavior", "weights"}
    weights = rows["weights"]
    assert weights.test_text("architecture") == weights.test_text("activation") == "not tested"
    assert not any(share.is_tested for share in weights.shares.values())
    assert rows["cka"].test_text("architecture") == rows["cka"].shares["architecture"].p_text != ""


def test_a_factor_that_decides_what_weights_are_compared_is_not_tested(atlas):
    effects = atlas.table("effects")
    assert given_factors("weights") == {"architecture", "activation", "units"}
    assert not (effects.measure == "weights").any()  # both factors of the study are among them, and so interactions
    assert "architecture" in set(effects.factor[effects.measure == "behavior"])


def test_distances_that_are_sought_state_how_far_they_may_be_off(atlas):
    maps = atlas.table("maps").set_index("measure")
    assert maps.loc[["cka", "dsa", "behavior"], "gap_median"].isna().all()
    assert 0 < maps.loc["weights", "gap_median"] <= maps.loc["weights", "gap_largest"] < 1
    pair = [STUDY.members[place].id for place in (0, 3)]
    bound = OF_STUDIES["weights"].comparison.lower_bound(*(unit_weights(atlas.network(one)) for one in pair))
    distance = float(distances_of(atlas, "weights").sel(network=pair[0], other_network=pair[1]))
    assert 1 - bound / distance <= maps.loc["weights", "gap_largest"] + 1e-9


def test_controls_are_of_activity_alone(atlas):
    assert set(atlas.table("controls").measure) == {"cka", "dsa"}


def test_activity_is_described(atlas):
    table = atlas.table("activity")
    assert len(table) == 12
    assert table.participation_ratio.between(1, 4).all()
    assert table.explained_share.between(0, 1).all()
    assert table.selectivity.between(0, 1).all()
    assert np.isfinite(table.intrinsic_dimension).all()
