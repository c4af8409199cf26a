import pytest

from dynatlas import Study
from dynatlas.errors import StudyError
from dynatlas.study.factors import Factor, Factors, factors_of
from support.studies import tiny_study, tiny_toml

FLIP_FLOP = {"kind": "flip_flop", "steps": 8, "channels": 1}


FACTORS = {"tasks": {"pulse_probability": [0.1, 0.5]}, "training": {"learning_rate": [0.01, 1]}}
POPULATION = {"architectures": ["vanilla"], "activations": ["tanh"], "units": [4], "l2": [0.0], "seeds": 2}


def crossed_study(factors=FACTORS, population=POPULATION, **changes):
    """Return a study that crosses a setting of its task with one of its training."""
    fresh = {"tasks": [FLIP_FLOP], "population": None}
    return tiny_study(fresh, {"population": population, "factors": factors}, **changes)


def by_levels(study):
    return {tuple(member.factors.values())[4:]: member for member in study.members if member.seed == 0}


def test_every_level_is_crossed_and_reaches_what_it_is_a_setting_of():
    study = crossed_study()
    assert len(study.members) == 2 * 2 * 2
    assert study.levels["pulse_probability"] == (0.1, 0.5)
    assert study.levels["learning_rate"] == (0.01, 1.0)
    members = by_levels(study)
    assert set(members) == {(0.1, 0.01), (0.1, 1.0), (0.5, 0.01), (0.5, 1.0)}
    for (probability, rate), member in members.items():
        assert member.training.learning_rate == rate
        assert study.trained_task(member.configuration).pulse_probability == probability
        # Networks are compared on the probe of the task as it stands in the file.
        assert study.task(member.task).pulse_probability == 0.05


def test_a_level_gives_the_same_networks_as_the_setting_itself():
    """The id of a network depends on its settings, not on whether they are factors."""
    ids = {levels: member.id for levels, member in by_levels(crossed_study()).items()}
    task = FLIP_FLOP | {"pulse_probability": 0.5}
    plain = crossed_study(factors={}, tasks=[task], training={"learning_rate": 0.01})
    assert plain.members[0].id == ids[0.5, 0.01]


def test_learning_rates_share_a_compiled_program_and_settings_of_tasks_do_not():
    study = crossed_study()
    assert [block.name for block in study.blocks] == [
        "flip_flop-vanilla-tanh-4-pulse_probability_0.1",
        "flip_flop-vanilla-tanh-4-pulse_probability_0.5",
    ]
    assert study.members[0].name == "flip_flop-vanilla-tanh-4-pulse_probability_0.1-learning_rate_0.01-l2_0-seed0"
    assert len({member.name for member in study.members}) == len(study.members)


def test_a_study_with_factors_survives_its_file():
    study = crossed_study()
    again = Study.parse(study.to_toml(), is_resolved=True)
    assert again == study
    assert (again.hash, again.members) == (study.hash, study.members)


def test_the_population_can_stand_among_the_factors():
    moved = {"architecture": ["vanilla"], "activation": ["tanh"], "units": [4], "l2": [0.0]}
    study = crossed_study(population={"seeds": 2}, factors=moved)
    assert study == crossed_study(factors={})


def test_a_task_can_stand_twice_under_its_own_names():
    tasks = [FLIP_FLOP, FLIP_FLOP | {"name": "two_bits", "channels": 2}]
    study = crossed_study(tasks=tasks, factors={})
    assert [(task.name, task.n_inputs) for task in study.tasks] == [("flip_flop", 1), ("two_bits", 2)]
    assert {matrix.task for matrix in study.matrices} == {"flip_flop", "two_bits"}
    assert study.task("two_bits").label == "two bits"
    assert Study.parse(study.to_toml(), is_resolved=True) == study
    # A name is no setting.
    other = crossed_study(tasks=[FLIP_FLOP | {"name": "one_bit"}], factors={})
    assert other.members[0].id == crossed_study(tasks=[FLIP_FLOP], factors={}).members[0].id


def test_overrides_can_name_a_further_factor_and_levels_win():
    overrides = [{"pulse_probability": 0.5, "training": {"clip_norm": 7.0, "learning_rate": 3.0}}]
    members = by_levels(crossed_study(overrides=overrides))
    assert {levels: member.training.clip_norm for levels, member in members.items()} == {
        (0.1, 0.01): 1.0,
        (0.1, 1.0): 1.0,
        (0.5, 0.01): 7.0,
        (0.5, 1.0): 7.0,
    }
    assert members[0.5, 0.01].training.learning_rate == 0.01


def test_names_and_types_of_columns():
    factors = factors_of(Factors(tasks={"noise": [0, 1]}, cells={"rank": [1, 2], "noise": [0.5, 1]}))
    assert [(factor.name, factor.type) for factor in factors] == [
        ("task_noise", "int64"),
        ("cell_rank", "int64"),
        ("cell_noise", "float64"),
    ]
    assert Factor("tau", "cells", "tau", (100.0, (50.0, 200.0))).shown == ("100", "50 to 200")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"factors": {"training": {"learning_rat": [1]}}},
            "has no setting 'learning_rat'; did you mean 'learning_rate'",
        ),
        ({"factors": {"training": {"learning_rate": [1, 1.0]}}}, "names a level twice"),
        ({"factors": {"training": {"learning_rate": [-1.0]}}}, "greater than 0, but it is -1"),
        ({"factors": {"training": {"learning_rate": []}}}, r"learning_rate is \[\]; expected a list of levels"),
        ({"factors": {"tasks": {"channels": [1, 2]}}}, r"has other inputs with channels = 2.*list the task twice"),
        ({"factors": {"tasks": {"delay": [1]}}}, "the task 'flip_flop' has no setting 'delay'"),
        ({"factors": {"cells": {"size": [1]}}}, "the cell 'vanilla' has no setting 'size'"),
        ({"cells": {"size": 1}}, "cells.size is a setting of none of the study's cells"),
        ({"factors": {"architecture": ["gru"]}}, "architectures stands under .population. and under .factors."),
        ({"overrides": [{"gain": 1, "training": {}}]}, "names 'gain', which is no factor of this study"),
        ({"tasks": [FLIP_FLOP, FLIP_FLOP]}, "names a task twice"),
        ({"tasks": [FLIP_FLOP, FLIP_FLOP | {"name": "other"}]}, "are trained on the same trials"),
        ({"tasks": [FLIP_FLOP | {"name": "No!"}]}, "name"),
        ({"search": {}}, "learning_rate is a factor, and .search. chooses it"),
    ],
)
def test_what_is_wrong_with_factors_is_told(changes, message):
    with pytest.raises(StudyError, match=message):
        crossed_study(**changes)


def test_networks_that_are_trained_together_have_one_program():
    study = crossed_study(
        population={"architectures": ["vanilla"], "activations": ["tanh"], "units": [4], "l2": [0.0, 1.0], "seeds": 1},
        overrides=[{"l2": 1.0, "training": {"iterations": 9}}],
    )
    with pytest.raises(StudyError, match=r"iterations is \d+ for .*-l2_0-seed0 and 9 for .*-l2_1-seed0"):
        _ = study.blocks


def test_levels_have_names_of_their_own_however_alike_they_are():
    levels = (0.1, 0.1000001, 0.10000012, "a b", "a_b", "a" * 300, "a" * 299, (1.0, 2.0), True, 7)
    factor = Factor("way", "cells", "way", levels)
    numbers = Factor("way", "cells", "way", levels[:3])
    names = [factor.chosen(level).name for level in levels]
    assert len(set(names)) == len(names)
    assert [numbers.chosen(level).name for level in numbers.levels] == ["way_0.1", "way_0.1000001", "way_0.10000012"]
    assert max(map(len, names)) < 60
    assert all(name.replace("_", "").replace(".", "").isalnum() for name in names)


LEAKY = {"architectures": ["ctrnn"], "activations": ["tanh"], "units": [8], "l2": [0.0], "seeds": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factors": {"cells": {"rank": [2, 9]}}}, r"'ctrnn' with 8 units and rank = 9: rank is 9; expected 0 to 8"),
        ({"cells": {"tau": 10.0}}, "tau = 10.0: dt is 20 and tau 10: the Euler step overshoots"),
        ({"factors": {"cells": {"tau": [100.0, [200.0, 100.0]]}}}, r"tau is \[200.0, 100.0\]; expected \[low, high\]"),
        ({"factors": {"cells": {"excitatory": [0.0, 1.0]}}}, "excitatory is 1: of the 8 units of an area"),
        ({"cells": {"initialization": "orthogonal"}, "factors": {"cells": {"rank": [0, 1]}}}, "'orthogonal'"),
        ({"factors": {"cells": {"tau": [[50.0, 60.0, 70.0]]}}}, r"tau: .*, but it is \[50.0, 60.0, 70.0\]"),
        ({"factors": {"cells": {"gain": 0.5}}}, "gain is 0.5; expected a list of levels"),
        ({"factors": {"gain": [0.5]}}, r"\[factors\] has 'gain'; expected architecture, .* such as cells.gain"),
        ({"factors": {"tasks": {"pulse_probabilty": [0.5]}}}, "did you mean 'pulse_probability'"),
        ({"tasks": [FLIP_FLOP | {"name": "a b"}]}, "'a b' cannot name a task; expected a lowercase letter"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_when_the_file_is_read(tmp_path, changes, message):
    path = tmp_path / "study.toml"
    path.write_text(tiny_toml({"tasks": [FLIP_FLOP], "population": None}, {"population": LEAKY}, **changes))
    with pytest.raises(StudyError, match=message):
        Study.load(path)


def test_an_override_of_a_task_whose_settings_are_wrong_is_not_blamed(tmp_path):
    path = tmp_path / "study.toml"
    tasks = [FLIP_FLOP | {"name": "short", "stepz": 3}]
    path.write_text(tiny_toml(tasks=tasks, overrides=[{"task": "short", "training": {"iterations": 5}}]))
    with pytest.raises(StudyError, match="stepz") as seen:
        Study.load(path)
    assert "overrides" not in str(seen.value)
