"""The training jobs of a run: checkpoints, requests to stop, chosen settings, untrained controls."""

import numpy as np
import pytest

from dynatlas import Atlas
from dynatlas.errors import AtlasError, Stopped
from dynatlas.pipeline.stages import training as stages
from dynatlas.pipeline.workers import interruption
from dynatlas.study.settings import SEARCHED
from support.studies import tiny_study

pytestmark = pytest.mark.usefixtures("quick_compilation")
STUDY = tiny_study(
    population={"l2": [1e-5, 1e-4], "seeds": 4, "untrained_controls": True},
    training={"iterations": 40, "batch_size": 8, "validation_interval": 5, "validation_trials": 16},
    search={"samples": 4, "factor": 2},
)
(BLOCK,) = STUDY.blocks
FIRST, SECOND = STUDY.configurations


@pytest.fixture(autouse=True)
def _no_request():
    yield
    interruption.clear()


def ignore(done, loss):
    pass


def new_atlas(folder):
    return Atlas.create(folder / "atlas", STUDY)


def carry_out(atlas, job, argument):
    entries = job(atlas.path, argument, ignore)
    atlas.enter(*entries)
    return {entry.name: entry.sha256 for entry in entries}


def stop_after(reports):
    """A report that asks for a stop when it has been called so often."""
    seen = []

    def report(done, loss):
        seen.append(done)
        if len(seen) == reports:
            interruption.request_stop()

    return report


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An atlas that was trained without interruption, and its hashes."""
    atlas = new_atlas(tmp_path_factory.mktemp("whole"))
    hashes = {}
    for job, argument in ((stages.search, FIRST), (stages.search, SECOND), (stages.train, BLOCK)):
        hashes |= carry_out(atlas, job, argument)
    return atlas, hashes


@pytest.mark.parametrize("reports", [1, 3])
def test_a_job_asked_to_stop_keeps_a_checkpoint_and_goes_on_from_it(whole, tmp_path, reports):
    atlas, hashes = new_atlas(tmp_path), {}
    for job, argument in ((stages.search, FIRST), (stages.search, SECOND), (stages.train, BLOCK)):
        with pytest.raises(Stopped, match="resumes from its checkpoint"):
            job(atlas.path, argument, stop_after(reports))
        interruption.clear()
        (checkpoint,) = (atlas.path / "checkpoints").iterdir()
        assert atlas.verify() == []
        seen = []
        entries = job(atlas.path, argument, lambda done, loss, seen=seen: seen.append(done))
        assert seen[0] > 1, "it began anew"
        atlas.enter(*entries)
        hashes |= {entry.name: entry.sha256 for entry in entries}
        assert not checkpoint.exists()
    assert hashes == whole[1]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "of another job"])
def test_a_damaged_checkpoint_is_left_unread(whole, tmp_path, damage):
    atlas = new_atlas(tmp_path)
    with pytest.raises(Stopped):
        stages.search(atlas.path, FIRST, stop_after(2))
    interruption.clear()
    (checkpoint,) = (atlas.path / "checkpoints").iterdir()
    content = bytearray(checkpoint.read_bytes())
    if damage == "truncated":
        checkpoint.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[-3] ^= 1
        checkpoint.write_bytes(content)
    else:
        atlas.write_checkpoint(checkpoint.stem, {"0": np.zeros(3)})
    hashes = carry_out(atlas, stages.search, FIRST)
    assert hashes == {name: whole[1][name] for name in hashes}


def test_checkpoints_are_written_when_they_are_due(tmp_path, monkeypatch):
    study = STUDY.model_copy(update={"execution": STUDY.execution.model_copy(update={"checkpoint_minutes": 1e-9})})
    atlas = Atlas.create(tmp_path / "atlas", study)
    there = []

    def look(done, loss):
        there.append((atlas.path / "checkpoints").exists() and len(list((atlas.path / "checkpoints").iterdir())))

    stages.search(atlas.path, FIRST, look)
    assert not there[0]
    assert set(there[1:]) == {1}


def test_seeds_are_trained_with_the_settings_that_the_search_chose(whole):
    atlas, _ = whole
    networks = atlas.part("networks", BLOCK)
    for configuration in (FIRST, SECOND):
        table = atlas.part("samples", configuration)
        assert table.chosen.sum() == 1
        best = table[table.chosen].iloc[0]
        assert best.mse == table[table.iterations == table.iterations.max()].mse.min()
        rows = networks[networks.l2 == configuration.l2]
        assert len(rows) == 4
        for setting in SEARCHED:
            assert (rows[setting] == best[setting]).all()
        losses = atlas.part("sample_losses", configuration)
        last = losses.groupby("sample").last()
        np.testing.assert_array_equal(last.validation_mse, table.mse)
        np.testing.assert_array_equal(last.iteration, table.iterations)


def test_a_network_that_misses_its_threshold_is_stored_with_the_reason(tmp_path):
    tasks = [{"kind": "flip_flop", "steps": 6, "channels": 1}, {"kind": "context_integration", "steps": 6}]
    atlas = Atlas.create(tmp_path / "atlas", tiny_study(tasks=tasks, population={"seeds": 1}))
    for block in atlas.study.blocks:
        carry_out(atlas, stages.train, block)
    networks = atlas.join_parts("networks")
    assert not networks.passed.any()
    assert networks.reason.tolist() == ["MSE is not below 0.01", "R² is not above 0.97"]


def test_untrained_controls_are_the_initial_weights(whole):
    atlas, _ = whole
    member = STUDY.members[3]
    before, expected = atlas.network(member.id, untrained=True), STUDY.cell(BLOCK, member.key("weights"))
    np.testing.assert_array_equal(before.recurrent_weights, expected.recurrent_weights)
    assert not np.array_equal(before.recurrent_weights, atlas.network(member.id).recurrent_weights)


def test_untrained_controls_that_were_not_kept_are_refused(tmp_path):
    population = STUDY.population.model_copy(update={"untrained_controls": False})
    atlas = Atlas.create(tmp_path / "atlas", STUDY.model_copy(update={"population": population}))
    with pytest.raises(AtlasError, match=r"population\.untrained_controls = true"):
        atlas.network(STUDY.members[0].id, untrained=True)


def test_blocks_of_one_and_of_eight_networks_give_the_same(whole, tmp_path):
    small = STUDY.execution.model_copy(update={"block_hours": 1e-12})
    study = STUDY.model_copy(update={"execution": small})
    assert [len(members) for members in study.blocks.values()] == [1] * 8
    atlas = Atlas.create(tmp_path / "atlas", study)
    for configuration in study.configurations:
        carry_out(atlas, stages.search, configuration)
    for block in study.blocks:
        carry_out(atlas, stages.train, block)
    for member in study.members:
        alone, together = atlas.network(member.id), whole[0].network(member.id)
        for field in ("recurrent_weights", "readout_weights", "initial_state"):
            np.testing.assert_array_equal(getattr(alone, field), getattr(together, field))


def test_a_tuned_shape_is_computed_as_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("dynatlas.training.lanes.TIMED_SECONDS", 1e-3)
    atlas = new_atlas(tmp_path)
    carry_out(atlas, stages.tune, BLOCK.shape)
    measured = atlas.part("mappings", BLOCK.shape)
    assert measured.lanes.tolist() == [1, 2, 4]
    assert measured.chosen.sum() == 1
    assert measured.iterations_per_second.idxmax() == measured.chosen.idxmax()
    seen = []
    monkeypatch.setattr("dynatlas.training.search.train", lambda *args, lanes, **_: seen.append(lanes) or args[2])
    monkeypatch.setattr(
        "dynatlas.pipeline.stages.training.run_search", lambda *_, lanes, **__: seen.append(lanes) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        stages.search(atlas.path, FIRST, ignore)
    assert seen == [int(measured.lanes[measured.chosen].iloc[0])]
