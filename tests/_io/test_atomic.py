"""Atomic writes: what a failure leaves, and whose files a finished tree may replace."""

import pytest

from dynatlas._io.atomic import publish, temporary_beside, write_bytes


def test_the_first_error_is_reported_and_not_that_of_clearing_up(tmp_path):
    """As in a folder that becomes read-only or is taken away during a run."""
    folder = tmp_path / "folder"

    def write():
        with temporary_beside(folder / "file") as temporary:
            temporary.write_text("half")
            folder.rename(tmp_path / "away")
            folder.write_text("")  # now no path in it can be removed
            temporary.write_text("whole")

    with pytest.raises(NotADirectoryError) as caught:
        write()
    assert caught.traceback[1].name == "write"  # and not where it clears up


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_only_what_is_empty_gives_way_to_the_other_kind(tmp_path, kind):
    target, other = tmp_path / "target", tmp_path / "target"
    if kind == "folder":
        target.mkdir()
        other = target / "notes"
    other.write_text("of somebody else")

    def write():
        if kind == "folder":
            write_bytes(target, b"new")
        else:
            with temporary_beside(target) as temporary:
                temporary.mkdir()
                publish(temporary, target)

    with pytest.raises(OSError, match=f"a {kind} that is not empty is in its place; move it away"):
        write()
    assert other.read_text() == "of somebody else"
    other.unlink() if kind == "folder" else other.write_text("")
    write()
    assert target.is_file() == (kind == "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
