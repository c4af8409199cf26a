"""Targets that users name: what dynatlas did not write stays."""

import os

import pytest

from dynatlas._io.atomic import fingerprint, open_regular
from dynatlas._io.links import link_outside
from dynatlas._io.targets import Results, check_folder, read_record, write_file, write_files, write_folder
from dynatlas.errors import DynatlasError, NetworkError

ONE = Results("analysis", {"network": "rnn_lr0.001_seed0.npz"}, NetworkError)
OTHER = Results("analysis", {"network": "rnn_lr0.001_seed1.npz"}, NetworkError)


def writing(**files):
    def write(stage):
        for name, text in files.items():
            (stage / name.replace("_", ".")).write_text(text)

    return write


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != "analysis.json"}


class TestFile:
    def test_a_new_file_has_what_was_written_and_the_same_again_is_no_error(self, tmp_path):
        for _ in range(2):
            assert write_file(tmp_path / "new" / "a", lambda path: path.write_text("abc")) == 3
        assert (tmp_path / "new" / "a").read_text() == "abc"
        assert os.listdir(tmp_path / "new") == ["a"]

    def test_another_file_is_replaced_by_force_alone(self, tmp_path):
        target = tmp_path / "a"
        target.write_text("mine")
        with pytest.raises(DynatlasError, match=r"a exists and is not replaced; .*--force"):
            write_file(target, lambda path: path.write_text("abc"))
        assert target.read_text() == "mine"
        write_file(target, lambda path: path.write_text("abc"), force=True)
        assert target.read_text() == "abc"
        assert os.listdir(tmp_path) == ["a"]

    @pytest.mark.parametrize("force", [False, True])
    @pytest.mark.parametrize("empty", [False, True])
    def test_a_folder_is_never_replaced(self, tmp_path, force, empty):
        (tmp_path / "results").mkdir()
        if not empty:
            (tmp_path / "results" / "thesis").write_text("years")
        with pytest.raises(DynatlasError, match="results is a folder; name a file to write"):
            write_file(tmp_path / "results", lambda path: path.write_text("abc"), force=force)
        assert os.listdir(tmp_path) == ["results"]
        assert os.listdir(tmp_path / "results") == ([] if empty else ["thesis"])

    @pytest.mark.parametrize("to", ["file", "folder", "nothing"])
    def test_a_link_stays_and_so_does_what_it_points_to(self, tmp_path, to):
        (tmp_path / "file").write_text("abc")
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / to)
        with pytest.raises(DynatlasError, match="link exists and is not replaced"):
            write_file(tmp_path / "link", lambda path: path.write_text("abc"))
        assert (tmp_path / "link").is_symlink()
        write_file(tmp_path / "link", lambda path: path.write_text("new"), force=True)
        assert (tmp_path / "link").read_text() == "new"
        assert not (tmp_path / "link").is_symlink()
        assert (tmp_path / "file").read_text() == "abc"
        assert (tmp_path / "folder").is_dir()

    def test_a_pipe_and_a_file_made_meanwhile_are_not_replaced(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(DynatlasError, match="pipe exists"):
            write_file(tmp_path / "pipe", lambda path: path.write_text("abc"))

        def slow(path):
            path.write_text("abc")
            (tmp_path / "raced").write_text("mine")

        with pytest.raises(DynatlasError, match="raced exists"):
            write_file(tmp_path / "raced", slow)
        assert (tmp_path / "raced").read_text() == "mine"

    def test_without_hard_links_too(self, tmp_path, monkeypatch):
        def refuse(*_):
            raise PermissionError

        monkeypatch.setattr(os, "link", refuse)
        write_file(tmp_path / "a", lambda path: path.write_text("abc"))
        assert (tmp_path / "a").read_text() == "abc"
        with pytest.raises(DynatlasError, match="a exists"):
            write_file(tmp_path / "a", lambda path: path.write_text("abcd"))

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(DynatlasError, match=r"cannot write .*file/a: "):
            write_file(tmp_path / "file" / "a", lambda path: path.write_text("abc"))

    def test_of_several_none_is_written_if_one_is_refused(self, tmp_path):
        (tmp_path / "b").write_text("mine")
        with pytest.raises(DynatlasError, match="b exists"):
            write_files({tmp_path / "a": b"1", tmp_path / "b": b"2"})
        assert os.listdir(tmp_path) == ["b"]
        write_files({tmp_path / "a": b"1", tmp_path / "b": b"2"}, force=True)
        assert (tmp_path / "b").read_text() == "2"


class TestFolder:
    def test_our_files_are_replaced_and_removed_and_others_are_kept(self, tmp_path):
        folder = tmp_path / "net-analysis"
        write_folder(folder, ONE, writing(a_csv="1", b_csv="2"))
        (folder / "my-notebook.ipynb").write_text("hours")
        (folder / "sub").mkdir()
        (folder / "sub" / "a.csv").write_text("mine")
        write_folder(folder, ONE, writing(a_csv="3", c_csv="4"))
        assert (folder / "sub" / "a.csv").read_text() == "mine"
        os.remove(folder / "sub" / "a.csv")
        (folder / "sub").rmdir()
        assert content(folder) == {"a.csv": "3", "c.csv": "4", "my-notebook.ipynb": "hours"}
        assert set(read_record(folder / "analysis.json")["files"]) == {"a.csv", "c.csv"}
        assert os.listdir(tmp_path) == ["net-analysis"]

    def test_an_edited_file_of_ours_is_the_users(self, tmp_path):
        folder = tmp_path / "net-analysis"
        write_folder(folder, ONE, writing(a_csv="1", b_csv="2"))
        (folder / "b.csv").write_text("2, checked by hand")
        with pytest.raises(NetworkError, match=r"b\.csv was not written by dynatlas, or has been edited since"):
            write_folder(folder, ONE, writing(a_csv="3", b_csv="4"))
        assert content(folder) == {"a.csv": "1", "b.csv": "2, checked by hand"}
        write_folder(folder, ONE, writing(a_csv="3"))  # it is not needed any more, and kept
        assert content(folder) == {"a.csv": "3", "b.csv": "2, checked by hand"}

    def test_a_link_in_the_place_of_our_file_is_the_users(self, tmp_path):
        folder = tmp_path / "net-analysis"
        write_folder(folder, ONE, writing(a_csv="1"))
        os.rename(folder / "a.csv", tmp_path / "elsewhere")
        (folder / "a.csv").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(NetworkError, match=r"a\.csv was not written by dynatlas"):
            write_folder(folder, ONE, writing(a_csv="2"))
        assert (tmp_path / "elsewhere").read_text() == "1"

    @pytest.mark.parametrize(
        "record",
        [
            None,
            "",
            "[]",
            "{}",
            "[" * 100_000,
            '{"subject": {}, "files": {"../x": ["1"]}}',
            '{"subject": 1, "files": {}}',
        ],
    )
    def test_a_folder_without_a_record_of_ours_is_refused(self, tmp_path, record):
        (tmp_path / "points.npz").write_text("mine")
        if record is not None:
            (tmp_path / "analysis.json").write_text(record)
        for check in (lambda: check_folder(tmp_path, ONE), lambda: write_folder(tmp_path, ONE, writing(a="1"))):
            with pytest.raises(
                NetworkError, match="exists and is no earlier analysis; choose another folder with --out"
            ):
                check()
        assert not (tmp_path / "a").exists()

    def test_an_empty_folder_is_filled_and_a_file_is_refused(self, tmp_path):
        (tmp_path / "empty").mkdir()
        identity = (tmp_path / "empty").stat().st_ino
        assert content(write_folder(tmp_path / "empty", ONE, writing(a="1"))) == {"a": "1"}
        assert (tmp_path / "empty").stat().st_ino == identity
        (tmp_path / "file").touch()
        with pytest.raises(NetworkError, match="file exists and is no earlier analysis"):
            write_folder(tmp_path / "file", ONE, writing(a="1"))

    def test_results_of_another_subject_are_replaced_where_the_folder_was_named(self, tmp_path):
        write_folder(tmp_path / "a", ONE, writing(a="1"))
        with pytest.raises(NetworkError, match=r"is the analysis of .*seed0.*, and this one is of .*seed1"):
            write_folder(tmp_path / "a", OTHER, writing(a="2"), replaces_any=False)
        assert content(tmp_path / "a") == {"a": "1"}
        assert content(write_folder(tmp_path / "a", OTHER, writing(a="2"))) == {"a": "2"}

    def test_a_path_that_is_no_text_is_refused(self, tmp_path):
        folder = tmp_path / os.fsdecode(b"caf\xe9")
        with pytest.raises(NetworkError, match="no Unicode text"):
            write_folder(folder, ONE, writing(a="1"))
        assert not folder.exists()

    @pytest.mark.parametrize("step", range(5))
    def test_after_a_crash_the_files_are_still_known_as_ours(self, tmp_path, monkeypatch, step):
        folder = tmp_path / "a"
        write_folder(folder, ONE, writing(a="1", b="2"))
        real, made = os.replace, []

        def fail(*paths):
            made.append(paths)
            if len(made) > step:
                raise KeyboardInterrupt
            real(*paths)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", fail)
            if step < 4:
                with pytest.raises(KeyboardInterrupt):
                    write_folder(folder, ONE, writing(a="3", c="4"))
        write_folder(folder, ONE, writing(a="5", c="6"))
        assert content(folder) == {"a": "5", "c": "6"}


class TestReading:
    def test_pipes_devices_and_links_in_a_tree_are_refused_at_once(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", tmp_path / "zero"):
            if path.name == "zero":
                path.symlink_to("/dev/zero")
            with pytest.raises(OSError, match="not a regular file"):
                open_regular(path)
            with pytest.raises(OSError, match="not a regular file"):
                fingerprint(path)
        tree = tmp_path / "tree"
        tree.mkdir()
        (tree / "file").write_text("1")
        before = fingerprint(tree)
        (tree / "link").symlink_to(tmp_path)
        with pytest.raises(OSError, match="not a regular file"):
            fingerprint(tree)
        (tree / "link").unlink()
        assert fingerprint(tree) == before

    def test_links_that_leave_a_folder(self, tmp_path):
        atlas = tmp_path / "atlas"
        (atlas / "tables").mkdir(parents=True)
        (atlas / "inside").symlink_to("tables")
        (atlas / "outside").symlink_to(tmp_path)
        (atlas / "dangling").symlink_to(tmp_path / "nothing")
        (atlas / "circle").symlink_to("circle")
        seen = {
            name: link_outside(atlas, f"{name}/a") is not None
            for name in ("tables", "inside", "outside", "dangling", "circle")
        }
        assert seen == {"tables": False, "inside": False, "outside": True, "dangling": True, "circle": True}
