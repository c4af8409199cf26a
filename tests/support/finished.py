"""One finished run of the tiny study for all processes of a test session."""

import fcntl
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from support.command_line import call
from support.studies import tiny_toml


class FinishedRun(NamedTuple):
    """Result of a finished run of the command line."""

    code: int
    output: str
    errors: str
    study: Path
    atlas: Path


def finished_run(folder: Path) -> FinishedRun:
    """Run the tiny study in a folder, or wait for another process that runs it, and return the result."""
    study, record = folder / "tiny.toml", folder / "ended.json"
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            folder.mkdir()
            study.write_text(tiny_toml())
            with redirect_stdout(io.StringIO()) as output, redirect_stderr(io.StringIO()) as errors:
                code = call("run", study, folder / "atlas", "--workers", 1)
            record.write_text(json.dumps([code, output.getvalue(), errors.getvalue()]))
    return FinishedRun(*json.loads(record.read_text()), study, folder / "atlas")
