"""Pages of the documentation do what they say: their Python is run in order, their commands are carried out.

Blocks marked ``python notest`` need what is no dependency. Of commands those are run that analyse a network; a ``text``
block stands for what the block above it prints, where … stands for anything.
"""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from dynatlas.cli import main

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(python|console|text)( notest)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def carry_out(page):
    """Run a page's blocks in one namespace; give what each printed, in order, with the text that it promised."""
    namespace = {"__name__": page.stem}
    printed = ""
    for kind, untested, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if untested:
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
                    command = shlex.split(line.removeprefix("$ "))
                    if command[1] == "analyze":
                        run(command[1:])
        printed = target.getvalue()
    return namespace


def run(arguments):
    """Run the command line; it must succeed."""
    with contextlib.suppress(SystemExit):
        try:
            main(arguments)
        except SystemExit as exit_:
            assert not exit_.code, arguments
            raise


@pytest.mark.usefixtures("quick_compilation")
def test_my_pytorch_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = carry_out(DOCS / "my-pytorch-network.md")
    assert len(namespace["points"]) == 3
    assert (tmp_path / "model-analysis" / "index.html").exists()
    assert "2 of" not in (tmp_path / "two-conditions" / "searches.csv").read_text()
    assert len((tmp_path / "two-conditions" / "searches.csv").read_text().splitlines()) == 3
