"""An atlas from somebody else: its links are not followed out of it, and nothing in it makes a command wait."""

import os

import pytest

from dynatlas.atlas.atlas import Atlas, Problem
from dynatlas.errors import AtlasError, DamagedAtlasError
from support.command_line import call
from support.studies import tiny_study

HOME_PAGE = "my home page"


@pytest.fixture
def atlas(tmp_path):
    made = Atlas.create(tmp_path / "atlas", tiny_study())
    made.enter(made.write_text("report/index.html", "ours"))
    return made


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_a_lock_that_is_no_file_is_refused_and_what_it_points_to_is_kept(atlas, tmp_path, what):
    (tmp_path / "bashrc").write_text("export PATH=...")
    lock = atlas.path / ".lock"
    lock.unlink()
    {"link": lambda: lock.symlink_to(tmp_path / "bashrc"), "pipe": lambda: os.mkfifo(lock), "folder": lock.mkdir}[
        what
    ]()
    with pytest.raises(AtlasError, match=r"\.lock is a link, a folder or a device; expected a file"), atlas.lock():
        pytest.fail("locked")
    assert (tmp_path / "bashrc").read_text() == "export PATH=..."


@pytest.mark.parametrize("name", ["report", "report/figures"])
def test_a_report_that_is_a_link_outside_is_not_written_to(atlas, tmp_path, name):
    web = tmp_path / "web"
    web.mkdir()
    (web / "index.html").write_text(HOME_PAGE)
    if name == "report":
        os.rename(atlas.path / "report", tmp_path / "away")
    (atlas.path / name).symlink_to(web)
    for below in ("", "/svg"):  # the link itself is named
        with pytest.raises(AtlasError, match=f"{name} is a link out of the atlas, which is not followed"):
            atlas.write_text(f"{name}{below}/index.html", "new")
    assert os.listdir(web) == ["index.html"]
    assert (web / "index.html").read_text() == HOME_PAGE


def test_checkpoints_are_not_written_through_a_link(atlas, tmp_path):
    (atlas.path / "checkpoints").symlink_to(tmp_path)
    with pytest.raises(AtlasError, match="checkpoints is a link out of the atlas"):
        atlas.write_checkpoint("train-x", {})


def test_a_link_in_the_place_of_an_entry_is_replaced_and_its_end_is_kept(atlas, tmp_path):
    page = atlas.path / "report" / "index.html"
    os.rename(page, tmp_path / "outside")
    page.symlink_to(tmp_path / "outside")
    assert atlas.verify() == [Problem("report/index.html", "a link out of the atlas")]
    with atlas.lock():
        atlas.enter(atlas.write_text("report/index.html", "new"))
    assert (tmp_path / "outside").read_text() == "ours"
    assert (page.read_text(), page.is_symlink()) == ("new", False)
    assert atlas.verify() == []


@pytest.mark.parametrize("what", ["pipe", "endless", "circle", "folder"])
def test_an_entry_that_never_ends_is_damage(atlas, what):
    page = atlas.path / "report" / "index.html"
    page.unlink()
    make = {
        "pipe": lambda: os.mkfifo(page),
        "endless": lambda: page.symlink_to("/dev/zero"),
        "circle": lambda: page.symlink_to(page.name),
        "folder": page.mkdir,
    }
    make[what]()
    [problem] = [problem for problem in atlas.verify() if problem.what != "unknown"]
    assert problem.name == "report/index.html"
    assert call("verify", atlas.path) == 6


@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize("name", ["manifest.json", "manifest.log", "study.toml", "progress.json", "provenance.json"])
def test_a_pipe_or_a_device_for_a_book_of_the_atlas_ends_at_once(atlas, name, endless, capsys):
    (atlas.path / name).unlink(missing_ok=True)
    if endless:
        (atlas.path / name).symlink_to("/dev/zero")
    else:
        os.mkfifo(atlas.path / name)
    code = 0 if name in ("progress.json", "provenance.json") else (4, 6)
    assert call("status", atlas.path) in (code if isinstance(code, tuple) else (code,))
    assert "Traceback" not in capsys.readouterr().err
    if name == "provenance.json":
        with pytest.raises(DamagedAtlasError, match="not a regular file"):
            _ = atlas.provenance


def test_a_link_added_to_a_group_of_files_is_unknown_and_not_entered(atlas, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (atlas.path / "report" / "more").symlink_to(tmp_path / "outside")
    assert atlas.verify() == [Problem("report/more", "unknown")]
