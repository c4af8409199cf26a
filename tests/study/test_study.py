import jax
import numpy as np
import pytest

from dynatlas import Study
from dynatlas.errors import StudyError
from dynatlas.study.files import builtin_studies

SMALL = """
name = "small"
[[tasks]]
kind = "flip_flop"
[[tasks]]
kind = "sine_wave"
[population]
architectures = ["vanilla", "gru"]
activations = ["tanh"]
units = [4, 8]
l2 = [0.0, 1e-3]
seeds = 2
"""


def changed(old, new, text=SMALL):
    assert old in text
    return Study.parse(text.replace(old, new))


def ids(study):
    return {member.name: member.id for member in study.members}


def test_members_are_the_full_crossing_in_a_stable_order():
    study = Study.parse(SMALL)
    assert len(study.members) == 2 * 2 * 1 * 2 * 2 * 2
    assert len(set(ids(study).values())) == 32
    assert study.members[0].name == "flip_flop-vanilla-tanh-4-l2_0-seed0"
    assert {len(members) for members in study.blocks.values()} == {4}


def test_ids_are_pinned():
    # An id decides a network's weights: if this changes, every atlas ever made can no longer be resumed.
    assert Study.parse(SMALL).members[0].id == "e417a917bab99781"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('["vanilla", "gru"]', '["lstm", "vanilla", "gru"]'),
        ("seeds = 2", "seeds = 5"),
        ("units = [4, 8]", "units = [16, 8, 4]"),
        ('[[tasks]]\nkind = "sine_wave"', '[[tasks]]\nkind = "context_integration"\n[[tasks]]\nkind = "sine_wave"'),
        ('kind = "flip_flop"', 'kind = "flip_flop"\nprobe_trials = 3'),
        ("[population]", "[analysis]\nfixed_point_starts = 7\n[population]"),
        ('name = "small"', 'name = "other"\ndescription = "words"'),
    ],
)
def test_adding_configurations_or_changing_analyses_leaves_other_members_alone(old, new):
    before, after = ids(Study.parse(SMALL)), ids(changed(old, new))
    assert before.items() <= after.items()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('kind = "flip_flop"', 'kind = "flip_flop"\nsteps = 99'),
        ("[population]", "[training]\niterations = 7\n[population]"),
        ("[population]", '[[overrides]]\ntask = "flip_flop"\ntraining = { momentum = 0.5 }\n[population]'),
    ],
)
def test_whatever_decides_the_weights_changes_the_id(old, new):
    before, after = ids(Study.parse(SMALL)), ids(changed(old, new))
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before if name.startswith("flip_flop"))


def test_keys_depend_on_id_and_purpose_alone():
    first, second = Study.parse(SMALL).members[:2]
    data = [
        jax.random.key_data(key).tolist() for key in (first.key("weights"), first.key("trials"), second.key("weights"))
    ]
    assert len({tuple(item) for item in data}) == 3
    assert jax.random.key_data(first.key("weights")).tolist() == data[0]


def test_overrides_reach_the_members_that_match_and_the_last_one_wins():
    study = Study.parse(
        SMALL
        + """
[[overrides]]
architecture = "gru"
training = { optimizer = "adam", iterations = 5 }
[[overrides]]
architecture = "gru"
units = 8
training = { iterations = 6 }
"""
    )
    seen = {(m.architecture, m.units): (m.training.optimizer, m.training.iterations) for m in study.members}
    assert seen == {
        ("vanilla", 4): ("sgd", 20_000),
        ("vanilla", 8): ("sgd", 20_000),
        ("gru", 4): ("adam", 5),
        ("gru", 8): ("adam", 6),
    }


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


def test_the_demo_trains_three_seeds_of_all_eight_variants_on_all_three_tasks():
    study = Study.load("demo")
    assert len(study.members) >= 72
    assert len(study.blocks) == 24


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (SMALL.replace("seeds", "seds"), ["population.seds: unknown key 'seds'; did you mean 'seeds'?"]),
        (SMALL + "[trainng]\n", ["unknown key 'trainng'; did you mean 'training'?"]),
        (SMALL + "[training]\nzzz = 1\n", ["training.zzz: unknown key 'zzz'; valid keys: batch_size, clip_norm,"]),
        (
            SMALL.replace('"flip_flop"', '"flip_flop"\nstep = 5'),
            ["tasks.0.step: unknown key 'step'; did you mean 'st"],
        ),
        (SMALL.replace('"flip_flop"', '"flipflop"'), ["'flipflop'", "'flip_flop', 'sine_wave', 'context_integration'"]),
        (SMALL.replace("seeds = 2", 'seeds = "two"'), ["population.seeds:", "valid integer", "'two'"]),
        (SMALL.replace("[4, 8]", "[4, 0]"), ["population.units.1:", "greater than or equal to 1", "it is 0"]),
        (SMALL.replace("[4, 8]", "[4, 1000000]"), ["population.units.1:", "less than or equal to 16384", "1000000"]),
        (SMALL.replace("[4, 8]", "[]"), ["population.units:", "at least 1 item"]),
        (SMALL.replace("[4, 8]", "[4, 4]"), ["[4, 4] names a value twice"]),
        (SMALL.replace('"sine_wave"', '"flip_flop"'), ["names a kind twice"]),
        (SMALL.replace('["tanh"]', '["gelu"]'), ["population.activations.0:", "'tanh' or 'relu'", "'gelu'"]),
        (SMALL.replace('"sine_wave"', '"sine_wave"\nslope = 0.5'), ["tasks.1: slope + offset is 0.51"]),
        (
            SMALL + "[[overrides]]\ntraining = { momentm = 1 }\n",
            ["overrides.0.training.momentm", "'momentum'?"],
        ),
        (SMALL + "[training]\nlearning_rate = nan\n", ["training.learning_rate:", "nan"]),
        (SMALL + "[", ["is not valid TOML"]),
        ("", ["name: is missing", "tasks: is missing"]),
    ],
)
def test_a_bad_study_file_is_refused_with_where_and_what(tmp_path, text, messages):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(StudyError) as caught:
        Study.load(path)
    for message in [str(path), *messages]:
        assert message in str(caught.value)


def test_a_missing_file_is_refused_with_the_built_in_names(tmp_path):
    with pytest.raises(StudyError, match=r"No such file.*built-in studies: .*demo"):
        Study.load(tmp_path / "none.toml")


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "study.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="cannot read the study file"):
        Study.load(path)
