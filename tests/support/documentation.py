"""Carry out the Python and the commands of a page of the documentation."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from dynatlas.cli.main import main

DOCS = Path(__file__).parents[2] / "docs"
FILE = re.compile(r"# ([\w-]+\.(?:py|toml))\n")
BLOCK = re.compile(r"^```(python|toml|console|text)( notest)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def carry_out(page):
    """Run a page's blocks in one namespace, and hold what they print against the page; give the namespace."""
    namespace = {"__name__": page.stem}
    printed = ""
    for kind, untested, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if untested:
            continue
        if file := FILE.match(text):
            Path(file[1]).write_text(text, encoding="utf-8")
            continue
        if kind == "text":
            pattern = ".*".join(re.escape(part) for part in text.strip().split("…"))
            assert re.fullmatch(pattern, printed.strip(), re.DOTALL), f"{page.name} promises {text}\nbut: {printed}"
            continue
        target = io.StringIO()
        with contextlib.redirect_stdout(target):
            if kind == "python":
                exec(compile(text, str(page), "exec"), namespace)  # noqa: S102 - our own pages
            else:
                for line in text.splitlines():
                    run(shlex.split(line.removeprefix("$ dynatlas ")))
        printed = target.getvalue()
    return namespace


def run(arguments):
    """Run the command line; it must succeed."""
    with pytest.raises(SystemExit) as ending:
        main(arguments)
    assert not ending.value.code, arguments
