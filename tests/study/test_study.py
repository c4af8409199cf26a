import math
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from dynatlas import Study
from dynatlas.errors import StudyError
from dynatlas.study.files import builtin_studies
from support.studies import TINY, tiny_study, tiny_toml

SMALL = {
    "name": "small",
    "tasks": [{"kind": "flip_flop"}, {"kind": "sine_wave"}],
    "population": {"architectures": ["vanilla", "gru"], "units": [4, 8], "l2": [0.0, 1e-3]},
    "training": None,
    "analysis": None,
}


def small(**changes):
    """Return the study of two tasks, with the paper's training, with changes."""
    return tiny_study(SMALL, **changes)


def tasks(flip_flop=None, sine_wave=None):
    """Return both tasks with settings, and the second one with another kind if its settings say so."""
    return [{"kind": "flip_flop"} | (flip_flop or {}), {"kind": "sine_wave"} | (sine_wave or {})]


def ids(study):
    return {member.name: member.id for member in study.members}


def test_members_are_the_full_crossing_in_a_stable_order():
    study = small()
    assert len(study.members) == 2 * 2 * 1 * 2 * 2 * 2
    assert len(set(ids(study).values())) == 32
    assert study.members[0].name == "flip_flop-vanilla-tanh-4-l2_0-seed0"
    assert {len(members) for members in study.blocks.values()} == {4}


def test_ids_are_pinned():
    # An id decides a network's weights: if this changes, every atlas ever made can no longer be resumed.
    assert small().members[0].id == "e417a917bab99781"
    assert small().members[16].id == "22e3ee818b0d2dbf"


@pytest.mark.parametrize("settings", [{"steps": 500, "slope": 0.04, "offset": 0.01}, {"dt": 0.01}])
def test_the_ways_to_write_a_sine_are_one_study(settings):
    study = small(tasks=tasks(sine_wave=settings))
    assert ids(study) == ids(small())
    assert study.hash == small().hash
    assert study.to_toml() == small().to_toml()
    # As the atlases of earlier versions have it.
    before = small(tasks=tasks(sine_wave=settings), analysis={"svcca_per_network": True})
    assert before.hash == "4fb7105c0f7dc3a53a1134474a77a00c3622a354647ae6165ef84b1082c58489"


@pytest.mark.parametrize(
    "changes",
    [
        {"population": {"architectures": ["lstm", "vanilla", "gru"]}},
        {"population": {"seeds": 5}},
        {"population": {"units": [16, 8, 4]}},
        {"tasks": [{"kind": "flip_flop"}, {"kind": "context_integration"}, {"kind": "sine_wave"}]},
        {"tasks": tasks(flip_flop={"probe_trials": 3})},
        {"analysis": {"fixed_point_starts": 7}},
        {"name": "other", "description": "words"},
    ],
)
def test_adding_configurations_or_changing_analyses_leaves_other_members_alone(changes):
    before, after = ids(small()), ids(small(**changes))
    assert before.items() <= after.items()


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": tasks(flip_flop={"steps": 99})},
        {"training": {"iterations": 7}},
        {"overrides": [{"task": "flip_flop", "training": {"momentum": 0.5}}]},
    ],
)
def test_whatever_decides_the_weights_changes_the_id(changes):
    before, after = ids(small()), ids(small(**changes))
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before if name.startswith("flip_flop"))


def test_keys_depend_on_id_and_purpose_alone():
    first, second = small().members[:2]
    data = [
        jax.random.key_data(key).tolist() for key in (first.key("weights"), first.key("trials"), second.key("weights"))
    ]
    assert len({tuple(item) for item in data}) == 3
    assert jax.random.key_data(first.key("weights")).tolist() == data[0]


def test_overrides_reach_the_members_that_match_and_the_last_one_wins():
    study = small(
        overrides=[
            {"architecture": "gru", "training": {"optimizer": "adam", "iterations": 5}},
            {"architecture": "gru", "units": 8, "training": {"iterations": 6}},
        ]
    )
    seen = {(m.architecture, m.units): (m.training.optimizer, m.training.iterations) for m in study.members}
    assert seen == {
        ("vanilla", 4): ("sgd", 20_000),
        ("vanilla", 8): ("sgd", 20_000),
        ("gru", 4): ("adam", 5),
        ("gru", 8): ("adam", 6),
    }


def test_an_override_gives_some_members_more_seeds_and_leaves_the_others_as_they_are():
    plain, more = small(), small(overrides=[{"architecture": "gru", "seeds": 5}])
    assert [member for member in more.members if member.seed < 2] == list(plain.members)
    counts = {configuration.architecture: len(members) for configuration, members in more.configurations.items()}
    assert counts == {"vanilla": 2, "gru": 5}
    assert Study.parse(more.to_toml()).hash == more.hash != plain.hash


@pytest.mark.parametrize("name", builtin_studies())
def test_the_resolved_file_is_the_same_study(name):
    study = Study.load(name)
    assert Study.parse(study.to_toml()) == study
    assert Study.parse(study.to_toml()).hash == study.hash


def test_the_defaults_are_the_papers():
    study = Study.parse(
        'name = "paper"\n'
        + "".join(f'[[tasks]]\nkind = "{kind}"\n' for kind in ("flip_flop", "sine_wave", "context_integration"))
    )
    assert len(study.members) == 3 * 2880
    training = study.members[0].training
    assert (training.optimizer, training.iterations, training.batch_size) == ("sgd", 20_000, 64)
    assert study.population.units == (64, 128, 256)
    np.testing.assert_array_equal(study.population.l2, [1e-5, 1e-4, 1e-3, 1e-2])


@pytest.mark.parametrize("name", ["demo", "desk"])
def test_the_cheaper_studies_ask_for_what_the_paper_asks_for(name):
    of = {task.kind: task for task in Study.load(name).tasks}
    paper = {task.kind: task for task in Study.load("paper").tasks}
    assert of["flip_flop"] == paper["flip_flop"]
    assert of["context_integration"] == paper["context_integration"]
    fine, coarse = paper["sine_wave"], of["sine_wave"]
    assert coarse.steps * coarse.dt == fine.steps * fine.dt == 5
    for command in (0.0, 1.0):
        assert float(coarse.frequency(command)) / coarse.dt == pytest.approx(float(fine.frequency(command)) / fine.dt)


def test_the_demo_trains_three_seeds_of_all_eight_variants_on_all_three_tasks():
    study = Study.load("demo")
    assert len(study.members) >= 72
    assert len(study.blocks) == 24


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        (
            {"population": {"seeds": None, "seds": 2}},
            ["population.seds: unknown key 'seds'; did you mean 'seeds'?"],
        ),
        ({"trainng": {}}, ["unknown key 'trainng'; did you mean 'training'?"]),
        ({"training": {"zzz": 1}}, ["training.zzz: unknown key 'zzz'; valid keys: batch_size, clip_norm,"]),
        ({"tasks": tasks(flip_flop={"step": 5})}, ["tasks.0.step: unknown key 'step'; did you mean 'st"]),
        (
            {"tasks": tasks(flip_flop={"kind": "flipflop"})},
            ["'flipflop'", "'flip_flop', 'sine_wave', 'context_integration'"],
        ),
        ({"population": {"seeds": "two"}}, ["population.seeds:", "valid integer", "'two'"]),
        ({"population": {"units": [4, 0]}}, ["population.units.1:", "greater than or equal to 1", "it is 0"]),
        ({"population": {"units": [4, 1000000]}}, ["population.units.1:", "less than or equal to 16384", "1000000"]),
        ({"population": {"units": []}}, ["population.units:", "at least 1 item"]),
        ({"population": {"units": [4, 4]}}, ["[4, 4] names a value twice"]),
        ({"tasks": tasks(sine_wave={"kind": "flip_flop"})}, ["names a task twice"]),
        ({"population": {"activations": ["gellu"]}}, ["population.activations.0:", "'tanh', 'relu'", "'gellu'"]),
        ({"tasks": tasks(sine_wave={"slope": 0.5})}, ["tasks.1: slope + offset is 0.51"]),
        ({"tasks": tasks(sine_wave={"dt": 0.1})}, ["tasks.1.dt:", "less than 0.1", "it is 0.1"]),
        ({"tasks": tasks(sine_wave={"dt": 0.04, "steps": 100})}, ["tasks.1: dt is given, and steps too"]),
        ({"tasks": tasks(sine_wave={"Dt": 0.04})}, ["unknown key 'Dt'", "dt"]),
        ({"overrides": [{"training": {"momentm": 1}}]}, ["overrides.0.training.momentm", "'momentum'?"]),
        ({"overrides": [{"units": 4}]}, ["overrides.0: the override changes nothing; give it a training table"]),
        ({"overrides": [{"seeds": 0}]}, ["overrides.0.seeds:", "greater than or equal to 1"]),
        ({"training": {"learning_rate": math.nan}}, ["training.learning_rate:", "nan"]),
        (dict.fromkeys(TINY), ["name: is missing", "tasks: is missing"]),
    ],
)
def test_a_bad_study_file_is_refused_with_where_and_what(tmp_path, changes, messages):
    path = tmp_path / "bad.toml"
    path.write_text(tiny_toml(SMALL, changes))
    with pytest.raises(StudyError) as caught:
        Study.load(path)
    for message in [str(path), *messages]:
        assert message in str(caught.value)


def test_a_file_that_is_not_toml_is_refused(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(tiny_toml(SMALL) + "[")
    with pytest.raises(StudyError, match=rf"{re.escape(str(path))}.*is not valid TOML"):
        Study.load(path)


def test_a_missing_file_is_refused_with_the_built_in_names(tmp_path):
    with pytest.raises(StudyError, match=r"No such file.*built-in studies: .*demo"):
        Study.load(tmp_path / "none.toml")


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "study.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="cannot read the study file"):
        Study.load(path)


def test_a_resolved_study_lacks_what_later_versions_added_and_keeps_its_hash(tmp_path: Path) -> None:
    study = tiny_study(analysis={"svcca_per_network": True})
    lines = study.to_toml().splitlines()
    old = "\n".join(line for line in lines if not line.startswith("svcca_per_network"))
    assert Study.parse(old, is_resolved=True) == study
    assert Study.parse(old, is_resolved=True).hash == study.hash
    # As the file of a user it means the default of today, which is another study.
    (tmp_path / "study.toml").write_text(old)
    assert not Study.load(tmp_path / "study.toml").analysis.svcca_per_network
    assert Study.load(tmp_path / "study.toml").hash != study.hash
    (tmp_path / "manifest.json").touch()  # now it is the study file of an atlas
    assert Study.load(tmp_path / "study.toml") == study


def test_svcca_agrees_on_a_number_of_components_unless_it_is_given() -> None:
    assert tiny_study(analysis={"measures": ["svcca", "cka"]}).analysis.agreeing == ("svcca",)
    for given in ({"svcca_components": 3}, {"svcca_per_network": True}, {"measures": ["cka"]}):
        assert tiny_study(analysis={"measures": ["svcca"]} | given).analysis.agreeing == ()


def test_a_folder_with_the_name_of_a_built_in_study_does_not_hide_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper").mkdir()
    assert Study.load("paper").name == "paper"
