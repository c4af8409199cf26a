import io

from rich.console import Console

from dynatlas import progress
from dynatlas.progress import LiveProgress, PlainProgress, progress_on


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


def test_the_live_display_shows_networks_and_loss():
    file = io.StringIO()
    with LiveProgress(Console(force_terminal=True, file=file, width=160)) as display:
        tell(display)
        display.note("hello")
    shown = file.getvalue()
    assert "6/6" in shown
    assert "block-a 100/100, loss 0.125" in shown
    assert "hello" in shown
