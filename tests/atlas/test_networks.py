"""Networks: blocks, cells, and ids of members."""

import equinox as eqx
import jax
import numpy as np
import pytest

from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.errors import AtlasError, DamagedAtlasError
from dynatlas.study.members import Block
from support.atlas_contents import block_of, stacked_cells


def write_cells(atlas: Atlas, block: Block) -> dict[str, np.ndarray]:
    arrays = stacked_cells(atlas.study, block)
    atlas.enter(atlas.write_block(block, atlas.study.blocks[block], arrays))
    return arrays


def test_entries_are_what_was_entered(atlas: Atlas) -> None:
    entry = atlas.write_text("report/index.html", "abc")
    assert entry == Entry("report/index.html", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)
    assert not atlas.has("report/index.html")
    atlas.enter(entry)
    assert dict(Atlas.open(atlas.path).entries) == {"report/index.html": entry}
    with pytest.raises(TypeError):
        atlas.entries["x"] = entry  # type: ignore[index]


def test_a_block_comes_back(atlas: Atlas) -> None:
    block = block_of(atlas.study)
    arrays = {
        "cell/bias": np.arange(6, dtype=np.float32).reshape(3, 2).T,  # not contiguous
        "losses/iteration": np.array([[1, 2], [3, 4]]),
        "passed": np.array([True, False]),
    }
    atlas.enter(atlas.write_block(block, atlas.study.blocks[block], arrays))
    back = atlas.read_block(block)
    assert back.keys() == arrays.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(back[key], array)
        assert back[key].dtype == array.dtype


def test_a_block_is_refused(atlas: Atlas) -> None:
    block = block_of(atlas.study)
    members = atlas.study.blocks[block]
    with pytest.raises(ValueError, match=r"1 members for the block .*; expected the study's 2, in its order"):
        atlas.write_block(block, members[:1], {})
    with pytest.raises(ValueError, match="expected the study's 2"):
        atlas.write_block(block, members[::-1], {})
    with pytest.raises(ValueError, match="expected the study's 0"):
        atlas.write_block(block._replace(units=5), members, {})
    with pytest.raises(ValueError, match=r"'x' has shape \(3,\); its first axis is over 2 members"):
        atlas.write_block(block, members, {"x": np.zeros(3)})
    with pytest.raises(ValueError, match=r"cannot be stored.*'x': 'complex128'"):
        atlas.write_block(block, members, {"x": np.zeros(2, complex)})
    write_cells(atlas, block)
    with pytest.raises(AtlasError, match=r"is complete in .*; discard it before"):
        atlas.write_block(block, members, {"x": np.zeros(2)})
    assert atlas.verify() == []


def test_cells_and_networks_are_rebuilt(atlas: Atlas) -> None:
    study = atlas.study
    for block in study.blocks:
        write_cells(atlas, block)
    for member in study.members:
        block = study.block_of(member)
        expected = study.cell(block, member.key("weights"))
        stacked = atlas.cells(block)
        index = study.blocks[block].index(member)
        assert eqx.tree_equal(jax.tree.map(lambda leaf, i=index: leaf[i], stacked), expected)
        for label in (member.id, member.name, member.id[:8]):
            assert eqx.tree_equal(atlas.network(label), expected)


def test_an_unknown_network(atlas: Atlas) -> None:
    name = atlas.study.members[0].name
    for label in (name[:-1] + "9", "", atlas.study.members[0].id[:3]):
        with pytest.raises(AtlasError, match=f"no network '{label}' in the study 'tiny'; the nearest is"):
            atlas.network(label)
    with pytest.raises(AtlasError, match=f"nearest is '{name[:-1]}"):
        atlas.network(name[:-1] + "9")
    with pytest.raises(AtlasError, match=r"networks/.*safetensors is not in the atlas .*`dynatlas run`"):
        atlas.network(name)


def test_an_ambiguous_network(atlas: Atlas) -> None:
    first, second, *_ = atlas.study.members
    twins = (first._replace(id="abcd" + "0" * 12), second._replace(id="abcd" + "1" * 12))
    atlas.study.__dict__["members"] = twins
    with pytest.raises(AtlasError, match=r"'abcd' begins the ids of 2 networks: abcd0.*, abcd1"):
        atlas.network("abcd")


def test_cells_of_another_shape_are_refused(atlas: Atlas) -> None:
    block = block_of(atlas.study)
    arrays = stacked_cells(atlas.study, block) | {"cell/bias": np.zeros((2, 3), np.float32)}
    atlas.enter(atlas.write_block(block, atlas.study.blocks[block], arrays))
    with pytest.raises(DamagedAtlasError, match=r"'cell/bias' has shape \(2, 3\); expected \(2, 12\)"):
        atlas.cells(block)
    atlas.discard(*atlas.entries)
    del arrays["cell/bias"]
    atlas.enter(atlas.write_block(block, atlas.study.blocks[block], arrays))
    with pytest.raises(DamagedAtlasError, match="'cell/bias' has shape None"):
        atlas.cells(block)
