"""Output that goes nowhere: a command ends as it would have ended."""

import errno
import io
import os
import sys
from types import SimpleNamespace

import pytest

from dynatlas.cli import streams
from dynatlas.cli.streams import Unfailing, unfailing_errors
from support.command_line import call


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_cannot_be_written_is_lost_and_no_error():
    for stream in (Full(), io.StringIO()):
        if not isinstance(stream, Full):
            stream.close()
        lenient = Unfailing(stream)
        assert lenient.write("abc") == 3
        lenient.writelines(["a", "b"])
        lenient.flush()
        assert not lenient.isatty()
    kept = io.StringIO()
    print("abc", file=Unfailing(kept))
    assert kept.getvalue() == "abc\n"


@pytest.mark.parametrize("stream", [Full(), None])
def test_an_error_keeps_its_exit_code_if_it_cannot_be_printed(stream, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream)
    assert call("status", tmp_path) == 4
    assert sys.stderr is stream


def test_the_bars_of_a_run_are_lost_and_no_error(monkeypatch):
    from rich.console import Console

    from dynatlas.pipeline.progress import progress_on

    monkeypatch.setattr(sys, "stderr", Full())
    with unfailing_errors():
        for terminal in (True, False):
            with progress_on(Console(stderr=True, force_terminal=terminal)) as progress:
                progress.stage("training", 1, 2)
                progress.note("note")


def test_output_on_a_full_disk_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Full())
    assert call("--help") == 1
    assert capsys.readouterr().err == "dynatlas: cannot write the output: No space left on device\n"


def test_a_closed_standard_stream_is_not_given_to_the_next_file(monkeypatch):
    """With descriptor 2 closed, a library that writes to it would write into the file that was opened next."""
    opened = []

    def closed(descriptor):
        if descriptor == 2:
            raise OSError(errno.EBADF, "Bad file descriptor")

    system = SimpleNamespace(fstat=closed, open=lambda path, *_: opened.append(path), devnull=os.devnull, O_RDWR=2)
    monkeypatch.setattr(streams, "os", system)
    with unfailing_errors():
        pass
    assert opened == [os.devnull]
