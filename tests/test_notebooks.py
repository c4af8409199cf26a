"""Notebooks of the documentation: stored without outputs, and executed from the first cell to the last."""

import base64
import importlib.util
import json
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
SECONDS = 3600  # for one cell, on a busy machine


def stripped(text):
    """What ``make strip`` makes of a notebook."""
    script = ROOT / "docs" / "_extensions" / "strip_notebooks.py"
    found = importlib.util.spec_from_file_location("strip_notebooks", script)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.stripped(text)


def test_there_are_five():
    assert len(NOTEBOOKS) == 5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_has_no_outputs(path):
    text = path.read_text(encoding="utf-8")
    assert text == stripped(text), f"{path.name} has outputs, or metadata of an editor; run: make strip"


def test_stripping_keeps_the_cells_and_nothing_else():
    before = NOTEBOOKS[0].read_text(encoding="utf-8")
    edited = json.loads(before)
    code = next(cell for cell in edited["cells"] if cell["cell_type"] == "code")
    output = {"output_type": "stream", "name": "stdout", "text": ["a number"]}
    code.update(execution_count=3, outputs=[output], id="a1b2c3", metadata={"collapsed": True})
    edited["metadata"]["kernelspec"]["name"] = "an environment"
    empty = {"cell_type": "code", "id": "x", "metadata": {}, "source": [], "outputs": [], "execution_count": None}
    edited["cells"].append(empty)
    assert json.loads(before) != edited
    assert stripped(json.dumps(edited)) == before


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_without_a_warning_and_ends_with_a_picture(path, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    where = tmp_path
    if "mystnb" in notebook.metadata:  # it reads files of the repository
        where = tmp_path / "docs" / "notebooks"
        where.mkdir(parents=True)
        for folder in ("tests", "results"):
            (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    where_to = {"metadata": {"path": str(where)}}
    NotebookClient(notebook, timeout=SECONDS, startup_timeout=SECONDS, resources=where_to).execute()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert not [output.text for of_cell in outputs for output in of_cell if output.get("name") == "stderr"]
    [picture] = [output.data["image/png"] for output in outputs[-1] if "image/png" in output.get("data", {})]
    assert len(base64.b64decode(picture)) > 10_000
