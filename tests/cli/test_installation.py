"""The command that pip installs."""

import importlib
import tomllib
from pathlib import Path

import pytest


def test_the_installed_command_is_the_command_line(capsys):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module, function = project["scripts"]["dynatlas"].split(":")
    command = getattr(importlib.import_module(module), function)
    with pytest.raises(SystemExit) as ended:
        command(["--help"])
    assert ended.value.code in (0, None)
    assert "Usage: dynatlas" in capsys.readouterr().out
