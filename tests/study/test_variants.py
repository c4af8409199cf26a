"""Variations of tasks in study files: what tasks propose, what a study sets, and what is refused."""

import pytest

from dynatlas.errors import StudyError
from dynatlas.study.study import Study
from dynatlas.study.variants import UNCHANGED, variations_of
from dynatlas.tasks.flip_flop import FlipFlop
from dynatlas.tasks.registry import BUILT_IN, TASKS
from support.plugin_files import CELL, registries_kept
from support.studies import tiny_study, tiny_toml


@pytest.mark.parametrize("kind", sorted(BUILT_IN))
def test_every_built_in_task_proposes_variations_that_it_accepts(kind):
    task = TASKS[kind]()
    found = variations_of(task)
    assert next(iter(found)) == UNCHANGED
    assert len(found) >= 3
    for name, variation in list(found.items())[1:]:
        assert variation.task != task or variation.input_noise, name
        assert variation.task.n_inputs == task.n_inputs


def test_a_task_of_a_user_states_its_variations():
    class Longer(FlipFlop):
        kind: str = "longer"
        variations = {"longer": {"steps": 200}}  # noqa: RUF012

    assert [one.task.steps for one in variations_of(Longer()).values()] == [100, 200]


@pytest.mark.parametrize("variations", [["longer"], None, {"steps": 40}])
def test_variations_of_a_user_that_are_no_settings_by_name_are_refused(variations):
    class Wrong(FlipFlop):
        kind: str = "wrong"

    Wrong.variations = variations
    with pytest.raises(ValueError, match=r"of the task 'wrong' is 40; expected|the task 'wrong' has variations of the"):
        variations_of(Wrong())


def test_noise_of_units_needs_cells_that_take_it(tmp_path):
    with registries_kept():
        (tmp_path / "cells.py").write_text(CELL)
        text = tiny_toml(
            {"population": {"architectures": ["nested"]}},
            plugins=["cells.py"],
            analysis={"variations": {"flip_flop": {"noisy": {"recurrent_noise": 0.1}}}},
        )
        (tmp_path / "study.toml").write_text(text)
        with pytest.raises(StudyError, match="'noisy' of the task 'flip_flop' has recurrent_noise, and the cell"):
            Study.load(tmp_path / "study.toml")


def test_an_unknown_task_is_named():
    with pytest.raises(StudyError, match="the study has no task 'nope'; it has flip_flop"):
        tiny_study().variations("nope")


def test_long_tasks_propose_no_variation_that_is_too_long():
    assert variations_of(TASKS["flip_flop"](steps=90_000))["twice as long"].task.steps == 100_000
    assert "twice the delay" not in variations_of(TASKS["memory_angle"](delay=60_000))


def study_with(variations, **changes):
    return tiny_study(analysis={"variations": variations}, **changes)


def test_a_study_sets_the_variations_of_a_task_and_keeps_them_in_its_file():
    study = study_with({"flip_flop": {"long": {"steps": 33}, "noisy": {"recurrent_noise": 0.1}}})
    assert [one.task.steps for one in study.variations("flip_flop").values()][1] == 33
    again = Study.parse(study.to_toml(), is_resolved=True)
    assert again.variations("flip_flop") == study.variations("flip_flop")
    assert again.hash == study.hash != tiny_study().hash
    assert [member.id for member in study.members] == [member.id for member in tiny_study().members]
    assert list(study_with({"flip_flop": {}}).variations("flip_flop")) == [UNCHANGED]


@pytest.mark.parametrize(
    ("variations", "message"),
    [
        ({"flipflop": {}}, "names 'flipflop', which is no task of this study; did you mean 'flip_flop'"),
        ({"flip_flop": {"x": {"stepps": 3}}}, "the variation 'x' of the task 'flip_flop' has no setting 'stepps'"),
        ({"flip_flop": {"x": {"steps": 1}}}, "the variation 'x' of the task 'flip_flop': steps: "),
        ({"flip_flop": {"x": {"channels": 4}}}, "changes n_inputs from . to 4; trained networks have "),
        ({"flip_flop": {"x": {"input_noise": -1}}}, "has input_noise = -1; expected a number from 0 to 1e6"),
        ({"flip_flop": {UNCHANGED: {"steps": 3}}}, "or that of the task without changes"),
        ({"flip_flop": {" ": {"steps": 3}}}, "has a name that is empty"),
        ({"flip_flop": {"x": {}}}, "the variation 'x' of the task 'flip_flop' is the same as 'as it is'"),
        ({"flip_flop": {"x": {"steps": 9}, "y": {"steps": 9}}}, "'y' of the task 'flip_flop' is the same as 'x'"),
    ],
)
def test_wrong_variations_are_refused(variations, message):
    with pytest.raises(StudyError, match=message):
        study_with(variations)


def test_measures_of_findings_have_no_options_and_need_one_of_activity():
    with pytest.raises(StudyError, match="measure_options has options for 'weights', which has none"):
        tiny_study(analysis={"measures": ["cka", "weights"], "measure_options": {"weights": {"x": 1}}})
    with pytest.raises(StudyError, match="names none of activity"):
        tiny_study(analysis={"measures": ["weights", "behavior"]})
