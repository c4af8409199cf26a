"""The installation, examined by a run."""

import json

import pytest

from support.command_line import call

pytestmark = pytest.mark.usefixtures("processes", "quick_compilation")


def test_a_working_installation_is_said_to_work(tmp_path, capsys):
    assert call("doctor", "--folder", tmp_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run"]["learned"] == found["run"]["networks"] == 2
    assert found["run"]["fixed_points"] >= 2
    assert found["run"]["problems"] == []
    assert found["versions"].keys() > {"dynatlas", "jax", "python"}
    assert 1 <= found["machine"]["usable_cores"] <= found["machine"]["cores"]
    assert 0 < found["disk"]["free"] <= found["disk"]["total"]
    assert found["devices"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    assert call("doctor", "--folder", tmp_path / "missing") == 1
    assert f"{tmp_path / 'missing'} is no folder; expected one for atlases, by --folder" in capsys.readouterr().err
