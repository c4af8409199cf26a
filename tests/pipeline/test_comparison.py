"""The jobs that reduce, compare, join, and make controls, on an atlas whose networks nobody trained."""

import jax
import numpy as np
import pandas as pd
import pytest

from dynatlas import Atlas, distance_matrix, permanova
from dynatlas.atlas.networks import trained
from dynatlas.atlas.schema import TABLES
from dynatlas.cells.responses import probe_activity
from dynatlas.errors import StudyError
from dynatlas.measures.pairs import all_pairs
from dynatlas.measures.registry import measure_of
from dynatlas.pipeline.stages import comparison
from dynatlas.pipeline.stages.comparison import tiles_of
from dynatlas.pipeline.stages.controls import make_controls
from dynatlas.pipeline.stages.reduction import reduce_activity, reduce_findings
from dynatlas.pipeline.stages.summaries import embed
from dynatlas.statistics.distance_matrix import DistanceMatrix
from dynatlas.study.members import Matrix
from support.random_atlas import joined, quiet, random_atlas
from support.studies import tiny_study

pytestmark = pytest.mark.usefixtures("quick_compilation")


def study_with(**analysis):
    """Return the study of 72 networks, with changes of its analysis."""
    return tiny_study(
        tasks=[{"kind": "sine_wave", "steps": 12, "commands": 5}],
        population={"architectures": ["vanilla", "gru"], "seeds": 36, "untrained_controls": True},
        analysis={"measures": ["cka", "procrustes"], "control_networks": 10, "bootstraps": 20, "permutations": 20}
        | analysis,
    )


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    """72 random networks that "passed" but for two, each kept with another random one as what it was before."""
    atlas = Atlas.create(tmp_path_factory.mktemp("atlas") / "atlas", study_with())
    with atlas.lock():
        for block, members in atlas.study.blocks.items():
            arrays = {}
            for kind, offset in (("cell", 0), ("untrained", 1000)):
                cells = [atlas.study.cell(block, jax.random.key(offset + member.seed)) for member in members]
                stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *cells)
                for path, leaf in jax.tree_util.tree_leaves_with_path(stacked):
                    arrays[f"{kind}/{path[-1].name}"] = leaf
            atlas.enter(atlas.write_block(block, members, arrays))
            blank = {"string": "", "int64": 0, "float64": 0.0, "bool": True}
            rows = [
                {column: blank[declared.type] for column, declared in TABLES["networks"].items()}
                | {"network": member.id, "name": member.name, "passed": member.seed != 5}
                | {
                    name: getattr(member, name)
                    for name in ("task", "architecture", "activation", "units", "l2", "seed")
                }
                for member in members
            ]
            atlas.enter(atlas.write_part("networks", block, pd.DataFrame(rows)))
            atlas.enter(*reduce_activity(atlas.path, block, quiet))
    return atlas


def activities(atlas, *, untrained=False):
    inputs = atlas.study.task("sine_wave").probe().inputs
    return {
        member.id: probe_activity(cell, inputs)
        for block in atlas.study.blocks
        for member, cell in trained(atlas, block, untrained=untrained)
    }


@pytest.mark.parametrize("measure", ["cka", "procrustes"])
def test_the_matrix_is_that_of_the_activities_whatever_the_size_of_tiles(atlas, measure, monkeypatch):
    whole = joined(atlas, Matrix("sine_wave", measure))
    expected = distance_matrix(activities(atlas), measure)
    assert whole.network.values.tolist() == expected.network.values.tolist()
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-9)
    assert whole.attrs["measure"] == measure
    monkeypatch.setattr(comparison, "TILE", comparison.GROUP)
    assert len(tiles_of(atlas.study, Matrix("sine_wave", measure))) == 6  # 72 members in groups of 32
    assert (joined(atlas, Matrix("sine_wave", measure)).values == whole.values).all()


def test_maps_effects_and_headline_of_a_matrix(atlas):
    joined(atlas, Matrix("sine_wave", "cka"))
    with atlas.lock():
        atlas.enter(*embed(atlas.path, Matrix("sine_wave", "cka"), quiet))
    matrix = Matrix("sine_wave", "cka")
    facts = atlas.part("maps", matrix).iloc[0]
    assert (facts.n_networks, facts.n_left_out) == (70, 0)
    assert facts.stress_3d <= facts.stress
    effects, headline = atlas.part("effects", matrix), atlas.part("headline", matrix)
    assert effects.factor.tolist() == ["architecture"]
    assert headline.factor.tolist() == ["architecture", "seed"]
    assert headline.r2.sum() == pytest.approx(1)
    assert headline.r2[0] == pytest.approx(effects.r2[0])
    assert len(atlas.part("embeddings_3d", matrix)) == 70


def test_a_matrix_is_validated_once(atlas, monkeypatch):
    joined(atlas, Matrix("sine_wave", "procrustes"))
    validate, validated = DistanceMatrix.__post_init__, []

    def counted(matrix):
        validated.append(len(matrix))
        validate(matrix)

    monkeypatch.setattr(DistanceMatrix, "__post_init__", counted)
    embed(atlas.path, Matrix("sine_wave", "procrustes"), quiet)
    assert validated.count(70) == 1  # and each subset


def test_controls_are_what_they_say(atlas):
    with atlas.lock():
        atlas.enter(*make_controls(atlas.path, "sine_wave", quiet))
    rows = atlas.part("controls", Matrix("sine_wave", "cka")).set_index("control")
    stored = atlas.arrays("controls/sine_wave/cka")
    networks = stored.network.values[stored.is_trained.values]
    assert len(networks) == rows.n_networks.iloc[0] == 10
    trained, before = activities(atlas), activities(atlas, untrained=True)
    pairs = np.triu_indices(10, 1)
    chosen = distance_matrix({name: trained[name] for name in networks}, "cka").values
    assert rows.value["trained"] == pytest.approx(chosen[pairs].mean())
    both = {**{name: trained[name] for name in networks}, **{f"{name} untrained": before[name] for name in networks}}
    together = distance_matrix(both, "cka")
    assert stored.network.values.tolist() == together.network.values.tolist()
    np.testing.assert_allclose(stored["distance"], together, atol=1e-9)
    across = together.values[:10, 10:]
    assert rows.value["own untrained"] == pytest.approx(np.diagonal(across).mean())
    assert rows.value["trained to untrained"] == pytest.approx(across[~np.eye(10, dtype=bool)].mean())
    assert rows.value["untrained"] == pytest.approx(together.values[10:, 10:][pairs].mean())
    assert rows.value["shuffled time"] > rows.value["trained"]
    assert rows.value["explained by training"] == pytest.approx(permanova(together, [1] * 10 + [0] * 10).r2, abs=1e-9)
    architectures = {member.id: member.architecture for member in atlas.study.members}
    places = atlas.part("control_embeddings", Matrix("sine_wave", "cka"))
    assert len(places) == 20
    assert places.is_trained.sum() == 10
    for architecture, of_map in places.groupby("architecture"):
        own = [name if trained else f"{name} untrained" for name, trained in of_map[["network", "is_trained"]].values]
        assert {architectures[name] for name in of_map.network} == {architecture}
        drawn = np.linalg.norm(of_map[["x", "y"]].values[:, None] - of_map[["x", "y"]].values[None], axis=-1)
        given = together.sel(network=own, other_network=own).values
        stress = np.sqrt(((drawn - given) ** 2).sum() / (given**2).sum())
        assert of_map.stress.iloc[0] == pytest.approx(stress, abs=1e-9)
    # Odd and even commands: five trials of twelve steps.
    by_trial = {name: trained[name].reshape(5, 12, 4) for name in networks}
    halves = [
        distance_matrix({name: one[k::2].reshape(-1, 4) for name, one in by_trial.items()}, "cka") for k in (0, 1)
    ]
    r = np.corrcoef(*(half.values[pairs] for half in halves))[0, 1]
    assert rows.value["reliability"] == pytest.approx(2 * r / (1 + r))


def test_networks_without_findings_are_left_out(atlas):
    """Nobody has searched these: no graph, no spectrum, and matrices of nothing."""
    with atlas.lock():
        for block in atlas.study.blocks:
            atlas.enter(*reduce_findings(atlas.path, block, quiet))
    assert joined(atlas, Matrix("sine_wave", "spectrum")).shape == (0, 0)
    with atlas.lock():
        atlas.enter(*embed(atlas.path, Matrix("sine_wave", "spectrum"), quiet))
    facts = atlas.part("maps", Matrix("sine_wave", "spectrum")).iloc[0]
    assert (facts.n_left_out, facts.left_out_reason) == (70, "no fixed or slow point under some condition")


def test_measures_of_a_study_have_its_options():
    debiased = study_with(measure_options={"cka": {"debiased": True}})
    assert debiased.analysis.measure("cka") == measure_of("cka", {"debiased": True})
    assert study_with().analysis.measure("cka") == measure_of("cka", {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measures": ["cka", "svca"]}, "unknown measure 'svca'; did you mean 'svcca'"),
        ({"measures": ["cka", "cka"]}, "names one twice"),
        ({"measure_options": {"rsa": {}}}, "measure_options has options for 'rsa', which is not among"),
        ({"measure_options": {"cka": {"debias": True}}}, "cka has no option 'debias'"),
    ],
)
def test_measures_that_do_not_exist(change, message):
    with pytest.raises(StudyError, match=message):
        study_with(**change)


def test_no_networks_at_all():
    assert all_pairs([], measure_of("cka", {})).shape == (0, 0)


def test_all_networks_of_a_task_have_the_largest_number_of_components_that_one_needs(tmp_path):
    atlas, activities = random_atlas(tmp_path / "atlas")
    path, matrix = atlas.path, Matrix("flip_flop", "svcca")
    needed = pd.concat([atlas.part("components", block) for block in atlas.study.blocks])
    trained_activities = {name: activity for (version, name), activity in activities.items() if version == "trained"}
    assert set(needed.network) == set(trained_activities)
    assert needed.n_components.nunique() > 1
    for block in atlas.study.blocks:
        atlas.enter(*reduce_activity(path, block, quiet))
    stored = joined(atlas, matrix)
    assert stored.attrs["components"] == needed.n_components.max()
    expected = distance_matrix(trained_activities)
    assert expected.attrs["components"] == needed.n_components.max()
    order = stored.network.values
    np.testing.assert_allclose(stored, expected.sel(network=order, other_network=order), atol=1e-12)
    atlas.enter(*embed(path, matrix, quiet))
    facts = atlas.part("maps", matrix).iloc[0]
    assert (facts.n_components, facts.n_identical) == (needed.n_components.max(), 0)
