"""A study takes networks and findings from the atlas of another one, where it would compute the same."""

from pathlib import Path

import pandas as pd
import pytest

from dynatlas.atlas.atlas import Atlas
from dynatlas.pipeline.jobs import jobs_of
from dynatlas.pipeline.reuse import reuse
from dynatlas.pipeline.runner import run
from support.studies import tiny_study


def copied_stages(tiny_atlas: Path, folder: Path, **changes) -> dict[str, int]:
    """Reuse the finished tiny atlas for a changed study; return how many jobs of each stage are done by that."""
    atlas = Atlas.create(folder, tiny_study(changes))
    with atlas.lock():
        count = reuse(atlas, Atlas.open(tiny_atlas))
        assert reuse(atlas, Atlas.open(tiny_atlas)) == 0
    done = pd.Series([job.stage for job in jobs_of(atlas.study) if job.is_done(atlas.entries)], dtype=object)
    assert count == len(done)
    assert atlas.verify() == []
    return done.value_counts().to_dict()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"analysis": {"measures": ["cka", "dsa"], "permutations": 99}},
            {"training": 1, "fixed points": 1, "behavior": 1},
        ),
        ({"analysis": {"fixed_point_starts": 17}}, {"training": 1}),
        ({"tasks": [{"kind": "flip_flop", "steps": 6, "channels": 1, "probe_trials": 8}]}, {"training": 1}),
        ({"snapshots": [0, 3]}, {}),  # trained again, to keep the snapshots
        ({"training": {"learning_rate": 0.02}}, {}),
        ({"population": {"seeds": 3}}, {}),
        ({"population": {"untrained_controls": True}}, {}),
    ],
)
def test_what_the_same_settings_determine_is_copied(tiny_atlas: Path, tmp_path: Path, changes, expected) -> None:
    assert copied_stages(tiny_atlas, tmp_path / "atlas", **changes) == expected


@pytest.mark.usefixtures("processes")
def test_an_atlas_that_reuses_another_is_the_one_that_computes_all(tiny_atlas: Path, tmp_path: Path) -> None:
    study = tiny_study(analysis={"measures": ["cka"]})
    reusing = run(study, tmp_path / "reusing", workers=1, reuse=tiny_atlas)
    computing = run(study, tmp_path / "computing", workers=1)
    tables = [name for name in computing.entries if name.startswith(("tables/", "networks/"))]
    assert {name: reusing.entries[name].sha256 for name in tables} == {
        name: computing.entries[name].sha256 for name in tables
    }
