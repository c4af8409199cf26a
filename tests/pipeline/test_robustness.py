"""Robustness among the measures of a study, of networks whose basins are known."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from dynatlas import Atlas
from dynatlas.measures.dynamics.robustness import typical_size
from dynatlas.pipeline.jobs import jobs_of
from support.studies import tiny_study

pytestmark = pytest.mark.usefixtures("quick_compilation")
STUDY = tiny_study(
    tasks=[{"kind": "flip_flop", "steps": 12, "channels": 1}],
    population={"architectures": ["vanilla"], "activations": ["tanh"], "units": [3, 4], "seeds": 4},
    training={"iterations": 1, "batch_size": 2},
    analysis={
        "measures": ["cka", "robustness"],
        "fixed_point_starts": 64,
        "fixed_point_max_starts": 128,
        "transition_trials": 5,
        "permutations": 9,
        "bootstraps": 9,
    },
)
# By seed. The last network of each size has one attractor.
BIASES = {0: 0.0, 1: 0.1, 2: 0.2, 3: 1.0}


def known_roots(bias):
    """Return the lower stable root of h = tanh(2h + b), the unstable one, and the upper one."""
    top = np.arccosh(np.sqrt(2))  # 2h + b where the slope is 1
    grid = [-1.5, (-top - bias) / 2, (top - bias) / 2, 1.5]
    return [brentq(lambda h: np.tanh(2 * h + bias) - h, *ends) for ends in itertools.pairwise(grid)]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    """The atlas of the study's jobs, where training is followed by a replacement of the weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dynatlas.tasks.flip_flop.FlipFlop.threshold", ("mse", 1e9))
        atlas = Atlas.create(tmp_path_factory.mktemp("robustness") / "atlas", STUDY)
        for job in jobs_of(STUDY):
            if job.stage == "report":
                continue
            atlas.enter(*job.compute(atlas.path, *job.arguments, lambda done, loss: None))
            if job.stage == "training":
                replace_weights(atlas, job.arguments[0])
        yield atlas


def replace_weights(atlas, block):
    """One bistable unit with a bias, and others that decay."""
    arrays, members = atlas.read_block(block), STUDY.blocks[block]
    gains = np.array([2, 0.3, -0.3, 0.1], np.float32)[: block.units]
    weights = np.repeat(np.diag(gains)[None], len(members), axis=0)
    bias = np.zeros((len(members), block.units), np.float32)
    bias[:, 0] = [BIASES[member.seed] for member in members]
    atlas.discard(f"networks/{block.name}.safetensors")
    atlas.enter(atlas.write_block(block, members, arrays | {"cell/recurrent_weights": weights, "cell/bias": bias}))


def test_the_table_has_the_pushes_and_basins_of_every_network_with_two_attractors(atlas):
    table = atlas.table("robustness")
    bistable = [member for member in STUDY.members if member.seed < 3]
    assert list(dict.fromkeys(table.network)) == [member.id for member in bistable]
    for member in bistable:
        rows = table[table.network == member.id].sort_values("box_share")
        low, middle, high = known_roots(BIASES[member.seed])
        sizes = sorted([middle - low, high - middle])
        np.testing.assert_allclose(rows["size"].sort_values(), sizes, rtol=1e-5)
        np.testing.assert_allclose(rows.relative_size.sort_values(), np.array(sizes) / (high - low), rtol=1e-5)
        assert sorted(rows.destination) == sorted(rows.point)
        assert (rows.saddle >= 0).all()
        # The boundary is the plane on which the first unit is at its unstable root.
        bounds = [float(bound[0]) for bound in atlas.network(member.id).box(jnp.zeros(1))]
        below = (middle - bounds[0]) / (bounds[1] - bounds[0])
        np.testing.assert_allclose(rows.box_share, sorted([below, 1 - below]), atol=4 * np.sqrt(0.25 / 1000))
        np.testing.assert_allclose(rows.box_share.sum(), 1)
        np.testing.assert_allclose(rows.probe_share.sum(), 1)
        assert (rows.angle < 1e-3).all()
        assert (rows.lower_bound <= rows["size"]).all()


def test_networks_are_compared_by_the_ratio_of_their_typical_sizes(atlas):
    distances = atlas.arrays("distances/flip_flop/robustness")["distance"]
    table = atlas.table("robustness")
    assert len(distances) == 6
    sizes = {network: typical_size(of.relative_size) for network, of in table.groupby("network")}
    for (one, first), (other, second) in itertools.product(sizes.items(), repeat=2):
        found = float(distances.sel(network=one, other_network=other))
        assert found == pytest.approx(abs(first - second), abs=1e-12)


def test_networks_with_one_attractor_are_left_out_with_a_reason(atlas):
    maps = atlas.table("maps").set_index("measure")
    assert maps.loc["robustness", "n_left_out"] == 2
    assert maps.loc["robustness", "left_out_reason"] == "fewer than two stable points under every condition"
    assert (atlas.table("headline").measure == "robustness").any()


def test_a_study_without_the_measure_does_not_compute_it():
    study = tiny_study(analysis={"measures": ["cka"]})
    assert not [job for job in jobs_of(study) if job.stage == "robustness"]


def test_typical_sizes():
    assert typical_size([0.1, 0.4]) == pytest.approx(np.log10(0.2))
    assert np.isnan(typical_size([]))
    assert np.isnan(typical_size([np.inf, np.nan]))
    assert typical_size([0.1, np.inf]) == pytest.approx(-1)
