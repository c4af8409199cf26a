"""What a run tells of itself to another terminal."""

import json
import os
import socket
import subprocess
import sys

import pytest

from dynatlas import Atlas
from dynatlas.pipeline.progress import Quiet
from dynatlas.pipeline.status import INTERVAL, SILENCE, WINDOW, StatusFile, age, seems_gone
from support.command_line import call
from support.studies import tiny_study


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def atlas(tmp_path):
    return Atlas.create(tmp_path / "atlas", tiny_study())


@pytest.fixture
def status(atlas, clock):
    status = StatusFile(atlas, Quiet(), clock)
    status.stage("training", 0, 10)
    return status


def content(status, atlas, clock):
    clock.now += INTERVAL
    status.write()
    return atlas.progress


def test_rates_and_the_time_left_follow_from_what_was_done(status, atlas, clock):
    status.training("a", 4, 100, 1000, float("nan"))  # goes on from a checkpoint: these are not this run's
    clock.now += 45
    status.training("a", 4, 600, 1000, 0.25)
    seen = content(status, atlas, clock)
    assert seen["blocks"] == {"a": {"networks": 4, "iterations": 600, "of": 1000, "loss": 0.25}}
    # 50 s: 500 iterations of 4 networks, half of each of them.
    assert seen["iterations_per_second"] == pytest.approx(4 * 500 / 50)
    assert seen["networks_per_hour"] == pytest.approx(2 / 50 * 3600)
    assert seen["training_seconds_left"] == pytest.approx((10 - 4 * 0.6) / (2 / 50))
    status.training("a", 4, 1000, 1000, 0.125)
    status.stage("training", 4, 10)
    seen = content(status, atlas, clock)
    assert seen["blocks"] == {}
    assert seen["stages"]["training"] == {"done": 4, "total": 10}
    assert seen["training_seconds_left"] == pytest.approx(6 / (3.6 / 55))


def test_rates_are_over_the_last_minutes(status, atlas, clock):
    status.training("a", 1, 0, 100_000, 1.0)
    for _ in range(100):
        clock.now += 20
        status.training("a", 1, status._running["a"]["iterations"] + 20, 100_000, 1.0)
    for _ in range(40):
        clock.now += 20
        status.training("a", 1, status._running["a"]["iterations"] + 200, 100_000, 1.0)
    assert WINDOW < 40 * 20
    assert content(status, atlas, clock)["iterations_per_second"] == pytest.approx(10, rel=0.02)


def test_before_anything_is_known_nothing_is_claimed(status, atlas, clock):
    status.training("a", 4, 1, 1000, float("nan"))
    seen = content(status, atlas, clock)
    assert seen["blocks"]["a"]["loss"] is None
    assert seen["iterations_per_second"] is seen["networks_per_hour"] is seen["training_seconds_left"] is None


def test_it_is_written_now_and_then_and_at_the_end(status, atlas, clock):
    status.write()
    first = atlas.progress
    assert (first["state"], first["host"], first["pid"]) == ("running", socket.gethostname(), os.getpid())
    clock.now += INTERVAL - 1
    status.write()
    assert atlas.progress == first
    assert age(content(status, atlas, clock), clock.now) == 0
    status.close("stopped")
    assert atlas.progress["state"] == "stopped"
    assert atlas.verify() == []


@pytest.mark.usefixtures("processes")
def test_a_run_that_died_without_a_word_seems_gone(status, atlas, clock):
    status.write()
    seen = atlas.progress
    assert not seems_gone(seen, clock.now + SILENCE)
    assert seems_gone(seen, clock.now + SILENCE + 1)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert seems_gone(seen | {"pid": process.pid}, clock.now)  # on this machine one can look
    assert not seems_gone(seen | {"pid": process.pid, "host": "elsewhere"}, clock.now)
    assert not seems_gone(seen | {"state": "stopped"}, clock.now + 10 * SILENCE)


def test_the_command_says_how_old_the_news_is_and_how_to_go_on(status, atlas, clock, capsys):
    status.training("a", 4, 100, 1000, 0.5)
    clock.now += 45
    status.training("a", 4, 600, 1000, 0.25)
    content(status, atlas, clock)
    assert call("status", atlas.path) == 0
    out = capsys.readouterr().out
    assert f"the run (process {os.getpid()} on {socket.gethostname()}) seems to be gone: last update" in out
    assert "days ago" in out
    assert f"to resume: dynatlas run {atlas.path / 'study.toml'} {atlas.path}" in out
    import time

    clock.now = time.time()
    status.training("a", 4, 700, 1000, 0.25)
    status._written = 0
    content(status, atlas, clock)
    assert call("status", atlas.path) == 0
    out = capsys.readouterr().out
    assert "running (process" in out
    assert "a: 700 of 1,000 iterations, loss 0.25" in out
    assert "networks per hour" in out
    assert "to resume" not in out
    status.close("failed")
    assert call("status", atlas.path) == 0
    assert f"the last run (process {os.getpid()} on {socket.gethostname()}) failed" in capsys.readouterr().out


def test_a_file_that_is_damaged_is_as_good_as_none(atlas, capsys):
    (atlas.path / "progress.json").write_text("{")
    assert atlas.progress == {}
    assert call("status", atlas.path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["run"] is None


class Failing:
    """A display that always fails."""

    def stage(self, *_):
        raise BrokenPipeError

    training = note = stage


def test_a_display_that_fails_does_not_end_the_work(atlas):
    status = StatusFile(atlas, Failing())
    status.stage("training", 0, 2)
    status.training("block", 1, 10, 100, 0.5)
    status.note("note")
    status.close("finished")
    assert atlas.progress["stages"] == {"training": {"done": 0, "total": 2}}


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"state": "running"}',
        '{"state": "finished", "updated": "yesterday"}',
        '{"state":"running","host":"h","pid":1,"updated":"2020-01-01T00:00:00+00:00","stages":[],"blocks":"x","networks_per_hour":1}',
        *(
            json.dumps(
                {
                    "state": "running",
                    "started": "2020-01-01T00:00:00+00:00",
                    "updated": "2020-01-01T00:00:00+00:00",
                    "host": socket.gethostname(),
                    "pid": 1,
                    "stages": {},
                    "blocks": {},
                    "iterations_per_second": None,
                    "networks_per_hour": None,
                    "training_seconds_left": None,
                }
                | change
            )
            for change in (
                *({"pid": pid} for pid in (-1, 0, "x", True, 10**20, 1.5)),
                *({"updated": text} for text in ("yesterday", 7, "2020-01-01", "9999-12-31T23:59:59+00:00")),
                *({"state": state} for state in ([], "odd", None)),
                *({"stages": stages} for stages in ([], {"training": 1}, {"training": {"done": "x", "total": 1}})),
                *({"blocks": blocks} for blocks in ("x", {"b": 1}, {"b": {"iterations": 1, "of": "x", "loss": 1}})),
                *({"networks_per_hour": rate} for rate in (float("nan"), "fast", [], 10**400)),
                {"networks_per_hour": 1.0, "iterations_per_second": 1.0, "training_seconds_left": "soon"},
                {"host": ["a"]},
            )
        ),
    ],
)
def test_a_file_that_anybody_may_have_written_is_read_or_ignored(atlas, content, capsys):
    (atlas.path / "progress.json").write_text(content)
    for options in ((), ("--json",)):
        assert call("status", atlas.path, *options) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
    json.loads(captured.out, parse_constant=pytest.fail)
