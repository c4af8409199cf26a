"""An atlas of the dynatlas that had no free factors opens, verifies and is finished without training anything again.

``data/before_factors.zip`` holds ``study.toml``, which names the task and the cell of ``mine.py``, and the ``atlas``
that commit 8cd7c3e made of it with ``dynatlas run study.toml atlas --workers 1 --until "fixed points"``.
"""

import shutil
from pathlib import Path

import pytest

from dynatlas import Atlas, Study
from dynatlas.pipeline.jobs import jobs_of
from support.plugin_files import forget, registries_kept

DATA = Path(__file__).parents[1] / "data" / "before_factors.zip"


@pytest.fixture(autouse=True)
def _forgotten():
    with registries_kept():
        forget()
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.unpack_archive(DATA, tmp_path)
    return tmp_path


def test_it_opens_without_the_code_and_verifies(folder: Path) -> None:
    atlas = Atlas.open(folder / "atlas")
    assert atlas.verify() == []
    assert [task.name for task in atlas.study.tasks] == ["flip_flop", "echo"]
    assert atlas.study.further_factors == ()
    assert atlas.study.training.recurrent_noise == 0
    assert atlas.study.training.before.items() <= atlas.study.training.model_dump().items()
    networks = atlas.part("networks", next(iter(atlas.study.blocks)))
    assert networks.recurrent_noise.tolist() == [0.0]


def test_the_study_file_still_means_the_same_networks(folder: Path) -> None:
    atlas, study = Atlas.open(folder / "atlas"), Study.load(folder / "study.toml")
    assert study.hash == atlas.study.hash
    assert [member.id for member in study.members] == [member.id for member in atlas.study.members]
    assert [block.name for block in study.blocks] == [block.name for block in atlas.study.blocks]
    for block in study.blocks:
        assert atlas.has_part("networks", block)
        assert atlas.network(study.blocks[block][0].id).units == 4
        assert atlas.network(study.blocks[block][0].id, untrained=True).units == 4


@pytest.mark.usefixtures("quick_compilation")
def test_it_is_finished_without_training_or_searching_again(folder: Path) -> None:
    study = Study.load(folder / "study.toml")
    atlas = Atlas.create(folder / "atlas", study)
    old = dict(atlas.entries)
    for job in jobs_of(study):
        if job.stage != "report" and not job.promises <= atlas.entries.keys():
            assert job.stage not in ("training", "fixed points")
            atlas.enter(*job.compute(atlas.path, *job.arguments, lambda done, loss: None))
    assert old.items() <= atlas.entries.items()
    assert len(atlas.table("networks")) == 8
    assert {"architecture", "activation"} <= set(atlas.table("headline").factor)
    assert atlas.verify() == []
