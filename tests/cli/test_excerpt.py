"""The command ``excerpt``: an atlas without networks, on which whatever reads only tables and distances works."""

import json
from pathlib import Path

import pytest

from dynatlas.atlas.atlas import Atlas
from dynatlas.errors import AtlasError
from support.command_line import call


@pytest.fixture
def excerpt(tiny_atlas: Path, tmp_path: Path) -> Path:
    assert call("excerpt", tiny_atlas, tmp_path / "excerpt") == 0
    return tmp_path / "excerpt"


def test_an_excerpt_is_an_atlas_with_the_same_tables_and_distances(tiny_atlas: Path, excerpt: Path, capsys) -> None:
    whole, part = Atlas.open(tiny_atlas), Atlas.open(excerpt)
    kept = {name for name in whole.entries if name.startswith(("tables/", "arrays.zarr/distances/"))}
    assert dict(part.entries) == {name: whole.entries[name] for name in kept}
    assert (part.study, part.provenance, part.verify()) == (whole.study, whole.provenance, [])
    assert part.arrays("distances/flip_flop/svcca").identical(whole.arrays("distances/flip_flop/svcca"))
    assert not list(excerpt.rglob("*.safetensors"))
    capsys.readouterr()
    assert call("claims", excerpt, "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(whole.table("claims").to_json(orient="records"))


def test_figures_of_an_excerpt_are_drawn_from_its_tables(excerpt: Path, tmp_path: Path) -> None:
    assert call("figures", excerpt, "--only", "performance", "--format", "png", "--out", tmp_path / "figures") == 0
    assert (tmp_path / "figures" / "performance.png").stat().st_size > 1000


def test_an_excerpt_grows_by_what_it_lacks(tiny_atlas: Path, excerpt: Path) -> None:
    before = dict(Atlas.open(excerpt).entries)
    assert call("excerpt", tiny_atlas, excerpt, "--keep", "networks/*") == 0
    after = Atlas.open(excerpt)
    assert {name: entry for name, entry in after.entries.items() if name in before} == before
    assert after.has("networks/flip_flop-vanilla-tanh-4.safetensors")
    assert after.verify() == []


def test_a_pattern_that_matches_nothing_is_refused_before_anything_is_written(tiny_atlas: Path, tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match=r"no entry that matches 'weights/\*'; expected names such as"):
        Atlas.open(tiny_atlas).excerpt(tmp_path / "excerpt", ["tables/*", "weights/*"])
    assert not (tmp_path / "excerpt").exists()


def test_a_damaged_entry_is_not_copied(tiny_copy: Path, tmp_path: Path, capsys) -> None:
    (tiny_copy / "tables" / "networks.parquet").write_bytes(b"")
    assert call("excerpt", tiny_copy, tmp_path / "excerpt") == 6
    assert "tables/networks.parquet" in capsys.readouterr().err
