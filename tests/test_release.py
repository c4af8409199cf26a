"""The release: one version everywhere, and distributions that hold every file and run in a clean environment."""

import json
import os
import re
import site
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import dynatlas

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]
PACKAGE = ROOT / "src" / "dynatlas"

# Run by the installed wheel: it is its own copy, knows its version, reads its files, and finds nine fixed points.
PROGRAM = """
import sys
from importlib import metadata, resources
from pathlib import Path

import jax
import jax.numpy as jnp

import dynatlas

assert Path(dynatlas.__file__).is_relative_to(sys.prefix), dynatlas.__file__
assert metadata.version("dynatlas") == sys.argv[1], metadata.version("dynatlas")
assert (resources.files("dynatlas") / "py.typed").is_file()
starts = jax.random.normal(jax.random.key(0), (50, 2))
points = dynatlas.find_fixed_points(lambda h, x: jnp.tanh(2 * h), starts, box=(-1, 1), key=jax.random.key(1))
print(len(points), points.certificate)
"""


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def package_files():
    """The files of the package as a repository holds them, without what Python compiled."""
    return sorted(
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


def test_the_version_is_the_same_everywhere():
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    assert re.findall(r"^version: (.+)$", text("CITATION.cff"), re.MULTILINE) == [VERSION]
    assert dynatlas.__version__ == VERSION
    assert re.findall(r"^## \[(\d[^]]*)\]", text("CHANGELOG.md"), re.MULTILINE)[0] == VERSION
    assert f'{{% set version = "{VERSION}" %}}' in text("conda/meta.yaml")


def test_every_python_that_is_named_is_tested_by_the_workflow():
    named = [each.rsplit(" ", 1)[1] for each in PROJECT["classifiers"] if re.search(r":: Python :: 3\.\d+$", each)]
    tested = re.search(r"python: (\[.+\])", text(".github/workflows/tests.yml"))
    assert tested is not None
    assert json.loads(tested[1]) == named
    assert PROJECT["requires-python"] == f">={named[0]}"
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        used = re.findall(r'python-version: "(.+)"', workflow.read_text(encoding="utf-8"))
        assert set(used) <= set(named), workflow.name
    assert f'python_version = "{named[0]}"' in text("pyproject.toml")  # mypy checks the oldest


def test_the_conda_recipe_asks_for_what_the_package_asks_for():
    other_names = {"pot": "pot", "matplotlib": "matplotlib-base", "lazy-loader": "lazy_loader"}
    wanted = {re.match(r"([\w-]+)(.*)", each).groups() for each in PROJECT["dependencies"]}
    run = text("conda/meta.yaml").split("  run:\n")[1].split("\ntest:")[0]
    found = {tuple(line.split()) for line in re.findall(r"^    - (\S+ \S+)$", run, re.MULTILINE)}
    assert found == {(other_names.get(name, name), bound) for name, bound in wanted} | {
        ("python", PROJECT["requires-python"])
    }


def test_no_address_is_made_up():
    assert "urls" not in PROJECT or all("example" not in each for each in PROJECT["urls"].values())


def test_the_paper_cites_what_its_bibliography_has():
    body = text("paper/paper.md").split("---", 2)[2]
    assert set(re.findall(r"@(\w+)", body)) == set(re.findall(r"^@\w+\{(\w+),", text("paper/paper.bib"), re.MULTILINE))


@pytest.mark.usefixtures("processes")
def test_distributions_hold_every_file_and_run_in_a_clean_environment(tmp_path):
    """Build the sdist, the wheel from the sdist, and install the wheel beside the dependencies of this environment."""
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(tmp_path / "dist")]
    subprocess.run([*build, "--target", "sdist"], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(tmp_path / "dist" / f"dynatlas-{VERSION}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / f"dynatlas-{VERSION}"
    assert {"CHANGELOG.md", "LICENSE", "docs", "tests", "constraints.txt"} <= {each.name for each in unpacked.iterdir()}
    subprocess.run([*build, "--target", "wheel"], cwd=unpacked, check=True, capture_output=True)

    wheel = tmp_path / "dist" / f"dynatlas-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        packed = sorted(name for name in archive.namelist() if not name.startswith(f"dynatlas-{VERSION}.dist-info/"))
        assert packed == package_files()
        assert all(archive.read(name) == (PACKAGE.parent / name).read_bytes() for name in packed)

    clean = tmp_path / "clean"
    venv.create(clean, with_pip=False)
    python = clean / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    # A line of a .pth file adds a folder and not the .pth files in it, so that an editable install stays outside.
    own = sysconfig.get_path("purelib", vars={"base": str(clean), "platbase": str(clean)})
    (Path(own) / "dependencies.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")

    empty = tmp_path / "empty"
    empty.mkdir()
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*command):
        done = subprocess.run(
            list(map(str, command)), cwd=empty, env=plain, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run(clean / "bin" / "dynatlas", "--version") == VERSION
    assert run(python, "-c", PROGRAM, VERSION) == "9 complete"
    run(clean / "bin" / "dynatlas", "new", "study.toml", "--like", "desk")  # reads a file of the package
    assert (empty / "study.toml").read_bytes() == (PACKAGE / "study" / "builtin" / "desk.toml").read_bytes()
