"""Activations of the user's own in studies."""

import jax
import jax.numpy as jnp
import pytest

from dynatlas import Study
from dynatlas.errors import PluginError, StudyError
from support.plugin_files import forget, registries_kept
from support.studies import tiny_toml

OWN = """
import jax.numpy as jnp
from dynatlas import register_activation


@register_activation("softsign", low=-1.0, high=1.0, slopes=(0.0, 1.0), derivative=lambda value: (1 - abs(value)) ** 2)
def softsign(values):
    return values / (1 + jnp.abs(values))
"""


@pytest.fixture(autouse=True)
def _forgotten():
    with registries_kept():
        yield


@pytest.fixture
def study_file(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    path = tmp_path / "study.toml"
    path.write_text(
        tiny_toml(
            plugins=["mine.py"], population={"architectures": ["gru", "ctrnn"], "activations": ["softsign", "tanh"]}
        )
    )
    return path


def test_a_study_can_name_it(study_file):
    study = Study.load(study_file)
    assert study.levels["activation"] == ("softsign", "tanh")
    block = next(block for block in study.blocks if (block.architecture, block.activation) == ("ctrnn", "softsign"))
    cell = study.cell(block, jax.random.key(0))
    state, inputs = jnp.full(4, 0.3), jnp.ones(1)
    sums = cell.connectivity() @ state + cell.input_weights @ inputs + cell.bias
    expected = 0.8 * state + 0.2 * sums / (1 + abs(sums))
    assert jnp.allclose(cell(state, inputs), expected, rtol=1e-6)


def test_its_code_counts_for_its_networks_alone(study_file):
    study = Study.load(study_file)
    (study_file.parent / "mine.py").write_text(OWN + "# changed\n")
    changed = Study.load(study_file)
    pairs = list(zip(study.members, changed.members, strict=True))
    assert all((one.id == two.id) == (one.activation == "tanh") for one, two in pairs)


def test_without_its_code_the_study_opens_and_has_no_cells(study_file):
    study = Study.load(study_file)
    text = study.to_toml()
    assert study.foreign_code()[0].origin.name == "mine.py"
    forget()
    opened = Study.parse(text)
    assert [member.id for member in opened.members] == [member.id for member in study.members]
    block = next(block for block in opened.blocks if block.activation == "softsign")
    with pytest.raises(PluginError, match="the activation 'softsign' is not one of dynatlas' own"):
        opened.cell(block, jax.random.key(0))


def test_unknown_names_are_told(study_file):
    study_file.write_text(tiny_toml(population={"activations": ["softsing"]}))
    with pytest.raises(StudyError, match=r"activations.0: expected one of 'tanh', .*or an activation of your own"):
        Study.load(study_file)


def test_a_name_that_is_built_in_by_now_is_still_the_plug_ins_in_a_study_that_records_it(study_file):
    """As if a later version had taken the name: the record stays, and with it the ids."""
    text = Study.load(study_file).to_toml()
    forget()
    taken = text.replace('"softsign"', '"retanh"')
    opened = Study.parse(taken)
    assert [plugin.activations for plugin in opened.plugins] == [("retanh",)]
    plain = Study.parse(tiny_toml(population={"architectures": ["gru", "ctrnn"], "activations": ["retanh", "tanh"]}))
    pairs = list(zip(opened.members, plain.members, strict=True))
    assert all((one.id == two.id) == (one.activation == "tanh") for one, two in pairs)
    with pytest.raises(PluginError, match="the activation 'retanh' is not one of dynatlas' own"):
        opened.cell(next(iter(opened.blocks)), jax.random.key(0))
