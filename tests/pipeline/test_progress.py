import io
import re
from datetime import UTC, datetime

from rich.console import Console

from dynatlas.pipeline import progress
from dynatlas.pipeline.progress import LOG, LiveProgress, PlainProgress, every_job_noted, progress_on


def tell(display):
    display.stage("training", 0, 6)
    display.training("block-a", 3, 50, 100, 0.5)
    display.training("block-b", 3, 25, 100, 0.25)
    display.training("block-a", 3, 100, 100, 0.125)
    display.stage("training", 3, 6)
    display.stage("training", 6, 6)


def test_a_terminal_gets_bars_and_a_log_gets_lines():
    assert isinstance(progress_on(Console(force_terminal=True, file=io.StringIO())), LiveProgress)
    assert isinstance(progress_on(Console(force_terminal=False, file=io.StringIO())), PlainProgress)


def test_lines_count_fractions_of_networks_once(monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0)
    file = io.StringIO()
    with PlainProgress(Console(file=file, width=200)) as display:
        tell(display)
    lines = [line.split("] ")[1] for line in file.getvalue().splitlines()]
    assert [line.split(" networks")[0] for line in lines] == [
        "training: 1.5 of 6",
        "training: 2.2 of 6",
        "training: 3.8 of 6",
        "training: 3 of 6",
        "training: 6 of 6",
    ]
    assert "block-a at 50/100, loss 0.5" in lines[0]


def test_a_log_has_a_line_a_minute_and_one_for_the_end_of_each_stage(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    file = io.StringIO()
    with PlainProgress(Console(file=file, force_terminal=False)) as display:
        display.stage("training", 0, 600)
        for second in range(1, 601):
            now[0] = float(second)
            display.training("block", 600, second, 600, 1.0)
            if second % 10 == 0:
                display.note("a job ends")
        display.stage("training", 600, 600)
        display.stage("maps", 1, 2)
        display.stage("maps", 2, 2)
    lines = file.getvalue().splitlines()
    notes = [line for line in lines if line.endswith("a job ends")]
    assert len(notes) == 60
    assert len(lines) == 600 / 60 + 2 + len(notes)  # notes take no line's place
    assert not re.search(r"[\r\x1b]", file.getvalue())
    moments = [datetime.fromisoformat(line[1:].split("]")[0]) for line in lines]
    assert all(abs((datetime.now(UTC) - moment).total_seconds()) < 60 for moment in moments)


def test_the_time_left_is_told_from_the_speed_since_the_first_report(monkeypatch):
    """Compiling took 55 s and an earlier run trained half of the networks: neither is the speed of this run."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    file = io.StringIO()
    with PlainProgress(Console(file=file, force_terminal=False, width=200)) as display:
        display.stage("training", 500, 1000)
        for second in range(55, 255):
            now[0] = float(second)
            display.training("block", 500, second - 55, 200, 1.0)
    first, *later = [line.split("] ")[1] for line in file.getvalue().splitlines()]
    assert first == "training: 512.5 of 1000 networks; block at 5/200, loss 1"  # too soon to tell
    assert [re.search(r"about (\d+) s left", line)[1] for line in later] == ["135", "75", "15"]


def test_what_is_logged_is_noted_only_when_asked_for():
    file = io.StringIO()
    display = PlainProgress(Console(file=file))
    LOG.info("before")
    with every_job_noted(display):
        LOG.info("train [b]: done in %.1f s", 1.25)
        LOG.debug("too much")
    LOG.info("after")
    [line] = file.getvalue().splitlines()
    assert line.endswith("] train [b]: done in 1.2 s")


def test_the_live_display_shows_networks_and_loss():
    file = io.StringIO()
    with LiveProgress(Console(force_terminal=True, file=file, width=160)) as display:
        tell(display)
        display.note("hello")
    shown = file.getvalue()
    assert "6/6" in shown
    assert "block-a 100/100, loss 0.125" in shown
    assert "hello" in shown
