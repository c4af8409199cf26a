"""The studies of other papers that come with dynatlas, at a tiny scale, from their files to their tables."""

import tomllib

import pytest
import tomli_w

from dynatlas import Atlas, Study
from dynatlas.pipeline.jobs import jobs_of
from dynatlas.study.files import builtin_study_text
from dynatlas.tasks.task import Task

pytestmark = pytest.mark.usefixtures("quick_compilation")
PAPERS = ["huang", "kurtkaya", "tolmachev-engel"]
TINY = {
    "training": {"iterations": 2, "batch_size": 2, "validation_trials": 4},
    "population": {"units": [4], "seeds": 2},
    "analysis": {
        "fixed_point_starts": 16,
        "fixed_point_max_starts": 16,
        "fixed_point_max_seconds": 1.0,
        "attractor_steps": 64,
        "transition_trials": 4,
        "permutations": 9,
        "bootstraps": 9,
    },
}


def tiny(name: str) -> Study:
    """The study's first task and activation, with small, hardly trained networks and two levels of each factor."""
    data = tomllib.loads(builtin_study_text(name))
    for table, settings in TINY.items():
        data[table] |= settings
    for settings in data["factors"].values():
        settings |= {setting: levels[:2] for setting, levels in settings.items()}
    data["population"] |= {"activations": data["population"]["activations"][:1], "l2": data["population"]["l2"][:1]}
    data["tasks"] = data["tasks"][:1]
    return Study.parse(tomli_w.dumps(data))


@pytest.mark.parametrize("name", PAPERS)
def test_a_study_of_a_paper_is_carried_out(name, tmp_path, monkeypatch):
    monkeypatch.setattr(Task, "passes", lambda task, mse, r2: True)
    study = tiny(name)
    atlas = Atlas.create(tmp_path / "atlas", study)
    for job in jobs_of(study):
        if job.stage != "report":
            atlas.enter(*job.compute(atlas.path, *job.arguments, lambda done, loss: None))
    networks, headline, spread = (atlas.table(table) for table in ("networks", "headline", "spread"))
    assert len(networks) == len(study.members)
    assert networks.passed.all()
    for factor in study.further_factors:
        assert set(networks[factor.name]) == set(factor.shown)
        assert factor.name in set(headline.factor)
        assert factor.name in set(spread.factor)
    assert len(atlas.table("searches")) == sum(study.task(task).n_conditions for task in networks.task)
    assert atlas.verify() == []


@pytest.mark.parametrize("name", PAPERS)
def test_the_whole_study_fits_a_laptop_and_says_where_it_departs(name):
    study = Study.load(name)
    assert len(study.members) <= 200
    text = builtin_study_text(name)
    assert "Departures" in text
    assert "20" in study.description  # the year of the paper
