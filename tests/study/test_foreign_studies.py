"""Studies with tasks, cells and measures of the user's own: what is recorded, what is refused, when code is run."""

from dataclasses import dataclass

import jax
import numpy as np
import pytest

from dynatlas import Study, load_package, load_plugin
from dynatlas.cells.backpropagation import batch_outputs
from dynatlas.cells.registry import CELLS
from dynatlas.errors import PluginError, StudyError
from dynatlas.measures.measure import Measure
from dynatlas.measures.registry import MEASURES
from dynatlas.registry import Origin
from dynatlas.study import plugins
from dynatlas.tasks.registry import TASKS
from support.plugin_files import MEASURE, OWN, TASK, forget, write_all
from support.studies import tiny_study, tiny_toml

WITHOUT_FILES = OWN | {"plugins": None, "population": OWN["population"] | {"architectures": ["vanilla"]}}
pytestmark = pytest.mark.usefixtures("quick_compilation", "forgotten")


@pytest.fixture
def study_file(tmp_path):
    return write_all(tmp_path)


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def ids(study):
    return {member.name: member.id for member in study.members}


def test_the_frozen_study_is_the_same_with_the_code_and_without(study_file, tmp_path, monkeypatch):
    study = Study.load(study_file)
    assert [plugin.file for plugin in study.plugins] == [
        *("plugins/my_task.py", "plugins/my_cell.py", "plugins/my_measure.py")
    ]
    frozen = study.to_toml()
    assert Study.parse(frozen) == study
    imported = tmp_path / "imported"
    monkeypatch.setenv("MY_TASK_IMPORTED", str(imported))
    forget()
    without = Study.parse(frozen)
    assert not imported.exists()  # nothing was run
    assert without.to_toml() == frozen
    assert without.hash == study.hash
    assert without.members == study.members
    assert without.blocks == study.blocks
    assert without.matrices == study.matrices
    task = without.task("held_sign")
    assert (task.title, task.n_inputs, task.n_outputs, task.steps) == ("held sign", 1, 1, 6)
    assert task.summary == "Hold the sign of the first pulse."
    assert task.condition_names() == ("no input",)
    assert task.passes(1.0, -99.0)


def test_what_needs_code_says_how_to_get_it(study_file):
    study = Study.load(study_file)
    forget()
    without = Study.parse(study.to_toml())
    key = jax.random.key(0)
    for call in (
        lambda: without.task("held_sign").trial(key),
        lambda: without.task("held_sign").conditions(),
        lambda: without.cell(next(shape for shape in without.shapes if shape.architecture == "nested"), key),
        lambda: without.measure("spread"),
        without.foreign_code,
    ):
        with pytest.raises(PluginError, match="load_plugin"):
            call()
    replace(study_file.with_name("my_measure.py"), "first", "one")
    load_plugin(study_file.with_name("my_measure.py"))
    with pytest.raises(PluginError, match=r"the measure 'spread' .* made with has not been imported"):
        without.measure("spread")
    assert without.cell(next(shape for shape in without.shapes if shape.architecture == "vanilla"), key).units == 3


def test_a_frozen_study_is_loaded_from_the_files_beside_it(study_file, tmp_path, monkeypatch):
    study = Study.load(study_file)
    copy = tmp_path / "atlas"
    (copy / "plugins").mkdir(parents=True)
    (copy / "study.toml").write_text(study.to_toml())
    for code in study.foreign_code():
        (copy / "plugins" / code.origin.name).write_bytes(code.source)
    forget()
    assert Study.load(copy / "study.toml").to_toml() == study.to_toml()
    # Another file in its place is refused before it is run.
    forget()
    changed = copy / "plugins" / "my_task.py"
    changed.write_text(TASK + "\n# changed\n")
    imported = tmp_path / "imported"
    monkeypatch.setenv("MY_TASK_IMPORTED", str(imported))
    with pytest.raises(PluginError, match="is not what the study was made with"):
        Study.load(copy / "study.toml")
    assert not imported.exists()


def test_ids_hold_the_source_of_task_and_cell_and_of_nothing_else(study_file):
    before = Study.load(study_file)
    replace(study_file.with_name("my_measure.py"), "first", "one")
    measured = Study.load(study_file)
    assert ids(measured) == ids(before)
    assert measured.hash != before.hash
    (study_file.parent / "code" / "my_cell.py").write_text(
        (study_file.parent / "code" / "my_cell.py").read_text() + "# a comment\n"
    )
    other_cells = Study.load(study_file)
    same = {name for name, id_ in ids(other_cells).items() if ids(before)[name] == id_}
    assert same == {name for name in ids(before) if "vanilla" in name}
    replace(study_file.with_name("my_task.py"), "held sign", "sign held")
    assert not set(ids(Study.load(study_file)).values()) & set(ids(other_cells).values())


def test_members_of_ours_have_the_ids_that_they_had_without_plugins(study_file):
    study_file.write_text(tiny_toml(OWN, tasks=[{"kind": "flip_flop"}, {"kind": "held_sign"}]))
    mixed = ids(Study.load(study_file))
    ours = ids(tiny_study(WITHOUT_FILES, tasks=[{"kind": "flip_flop"}], analysis={"measures": ["cka"]}))
    assert ours
    assert ours.items() <= mixed.items()


def test_a_changed_file_takes_the_place_of_what_it_was(study_file):
    old = Study.load(study_file)
    replace(study_file.with_name("my_task.py"), "steps: int = 6", "steps: int = 7")
    new = Study.load(study_file)
    assert (old.task("held_sign").steps, new.task("held_sign").steps) == (6, 7)
    assert TASKS["held_sign"]().steps == 7
    assert "placeholder" in type(Study.parse(old.to_toml()).task("held_sign")).__module__


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_both_paths_give_the_same_gradient(study_file, activation):
    load_plugin(study_file.parent / "code" / "my_cell.py")
    with jax.enable_x64(True):
        cell = CELLS["leaky"](2, 5, 3, activation, key=jax.random.key(0)).astype(np.float64)
        cell = jax.tree.map(lambda leaf: leaf + 0.1, cell)
        inputs = jax.random.normal(jax.random.key(1), (4, 9, 2))
        seen, expected = (
            jax.grad(lambda cell, outputs=outputs: jax.numpy.sum(jax.numpy.sin(outputs(cell))))(cell)
            for outputs in (lambda cell: batch_outputs(cell, inputs), lambda cell: jax.vmap(cell.respond)(inputs)[1])
        )
    for one, two in zip(jax.tree.leaves(seen), jax.tree.leaves(expected), strict=True):
        assert np.abs(two).max() > 1e-3
        np.testing.assert_allclose(one, two, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("my_task.py", None, "cannot read the plugin .*my_task.py': No such file"),
        ("my_task.py", "x = (", r"cannot import the plugin .*SyntaxError.*line 1"),
        (
            "my_task.py",
            "\nimport nothing_like_it\n",
            r"ModuleNotFoundError: No module named 'nothing_like_it' \(line 2\)",
        ),
        ("my_task.py", "raise SystemExit(3)", "cannot import the plugin .*SystemExit"),
        ("my_task.py", "x = 1", "registers nothing; decorate"),
        ("my_task.py", "from dynatlas import register_task\nregister_task('x')(3)", "3 is no subclass of dynatlas"),
        ("my_measure.py", MEASURE.replace('"spread")', '"cka")'), "the measure 'cka' is already CKA"),
        ("my_task.py", TASK.replace('"held_sign")', '"flip_flop")'), "the task 'flip_flop' is already FlipFlop"),
        ("my_task.py", TASK.replace('"held_sign")', '"Held-sign")'), "'Held-sign' cannot name a task"),
        (
            "my_task.py",
            TASK.replace("full((self.steps", "full((5"),
            r"targets of the shape \(5, 1\); expected \(6, 1\)",
        ),
        ("my_task.py", TASK.replace("steps: int = 6", "steps: int = 6\n    many: list = []"), "be hashed"),
    ],
)
def test_code_that_cannot_be_used_is_refused_with_what_to_do(study_file, name, content, message):
    path = study_file.with_name(name)
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(StudyError, match=message):
        Study.load(study_file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plugins": ["my_task.txt"]}, r"'my_task.txt'; expected the path of a Python file"),
        ({"plugins": [3, *OWN["plugins"]]}, "plugins.0"),
        ({"tasks": [{"kind": "held_sing"}]}, "no task 'held_sing'; did you mean 'held_sign'"),
        ({"tasks": [{"kind": "held_sign", "noize": 1}]}, "unknown key 'noize'; did you mean 'noise'"),
        (
            {"population": {"architectures": ["vanilla", "nasted"]}},
            "architectures.1: expected one of .*'nested'.*is 'nasted'",
        ),
        ({"analysis": {"measures": ["sprad"]}}, "unknown measure 'sprad'; did you mean 'spread'"),
        ({"overrides": [{"task": "held", "training": {}}]}, "overrides.0.task: .*is 'held'"),
    ],
)
def test_a_study_that_names_what_is_not_there_is_refused(tmp_path, changes, message):
    with pytest.raises(StudyError, match=message):
        Study.load(write_all(tmp_path, **changes))


def test_a_file_that_is_imported_again_forgets_what_it_registered_before(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MEASURE)
    load_plugin(path)
    before = MEASURES["spread"]
    for broken in (MEASURE.replace('"spread")', '"wide")') + "1 / 0", "x = 1"):
        path.write_text(broken)
        with pytest.raises(PluginError):
            load_plugin(path)
        assert MEASURES["spread"] is before
        assert "wide" not in MEASURES
    path.write_text(MEASURE.replace('"spread")', '"wide")'))
    load_plugin(path)
    assert "spread" not in MEASURES
    moved = path.rename(tmp_path / "renamed.py")
    origin = load_plugin(moved)
    assert plugins.origin_of("measures", "wide") == origin


def test_two_files_of_one_study_do_not_register_one_name(study_file):
    study_file.with_name("again.py").write_text(MEASURE)
    replace(study_file, '"my_measure.py"', '"my_measure.py", "again.py"')
    with pytest.raises(PluginError, match=r"my_measure.py and again.py both register the measure 'spread'"):
        Study.load(study_file)
    replace(study_file, '"again.py"', '"code/my_measure.py"')
    with pytest.raises(PluginError, match="their names must differ"):
        Study.load(study_file)


def test_a_record_that_was_changed_by_hand_is_looked_at_when_its_code_is_loaded(study_file, tmp_path):
    frozen = tmp_path / "frozen.toml"
    study = Study.load(study_file)
    for code in study.foreign_code():
        (tmp_path / "plugins").mkdir(exist_ok=True)
        (tmp_path / "plugins" / code.origin.name).write_bytes(code.source)
    frozen.write_text(study.to_toml().replace(" noise = 0.0", " noise = inf"))
    with pytest.raises(StudyError, match="settings cannot be written"):
        Study.load(frozen)
    forget()
    other = Study.parse(study.to_toml().replace("units = [\n    3,\n]", "units = [\n    3,\n    4,\n]"))
    with pytest.raises(StudyError, match="'nested' has no size for 1 inputs, 4 units and 1 outputs"):
        _ = other.blocks


def test_sizes_that_a_cell_cannot_have_are_told(study_file):
    cell = study_file.parent / "code" / "my_cell.py"
    replace(cell, "inner_key, shown_key =", "assert units < 4, 'too wide'\n        inner_key, shown_key =")
    study_file.write_text(tiny_toml(OWN, population={"units": [3, 4]}))
    with pytest.raises(StudyError, match=r"the cell 'nested': Nested\(1, 4, 1, 'tanh', key=…\) fails: .*too wide"):
        Study.load(study_file)


def test_a_text_alone_imports_nothing():
    with pytest.raises(StudyError, match=r"only Study.load imports"):
        tiny_study(OWN)


def test_what_was_registered_by_hand_cannot_be_run():
    @plugins.register_task("by_hand")
    def by_hand(key, steps=6):
        drawn = jax.random.normal(key, (steps, 1), np.float32)
        return drawn, drawn

    study = tiny_study(WITHOUT_FILES, tasks=[{"kind": "by_hand"}], analysis={"measures": ["cka"]})
    assert study.task("by_hand").n_outputs == 1
    with pytest.raises(PluginError, match=r"'by_hand' was registered in this process alone.*plugins = "):
        study.foreign_code()

    @plugins.register_measure("by_hand")
    @dataclass(frozen=True)
    class ByHand(Measure):
        def reduce(self, activity):
            return {}

        def between(self, first, second):
            return 0.0

    ours = WITHOUT_FILES | {"tasks": [{"kind": "flip_flop"}]}
    assert tiny_study(ours, analysis={"measures": ["cka"]}).foreign_code() == []
    with pytest.raises(PluginError, match=r"the measure 'by_hand' was registered in this process alone"):
        tiny_study(ours, analysis={"measures": ["by_hand"]}).foreign_code()


def package(folder, name, version, text):
    """An installed distribution that offers things by entry points."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(
        f"[dynatlas.tasks]\nheld_sign = {name}_code:HeldSign\n[dynatlas.measures]\nspread = {name}_code:Spread\n"
    )
    (folder / f"{name}_code.py").write_text(text)


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_an_installed_package_needs_no_file(site, tmp_path):
    package(site, "signs", "1.2", TASK + MEASURE)
    path = tmp_path / "study.toml"
    path.write_text(tiny_toml(WITHOUT_FILES))
    study = Study.load(path)
    (plugin,) = study.plugins
    assert (plugin.package, plugin.version, plugin.names) == (
        *("signs", "1.2"),
        {("tasks", "held_sign"), ("measures", "spread")},
    )
    frozen = tmp_path / "frozen.toml"
    frozen.write_text(study.to_toml())
    assert Study.load(frozen) == study
    with pytest.raises(
        PluginError, match=r"the package 'signs' is not what the study was made with: it is 1.2, and was 1.1"
    ):
        plugins.provide([plugins.Code(Origin("signs", "1.1", is_file=False), b"", frozenset())])
    (site / "signs-1.2.dist-info").rename(site / "signs-1.3.dist-info")
    metadata = site / "signs-1.3.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.2", "1.3"))
    with pytest.raises(PluginError, match=r"imported as version 1.2, and 1.3 is installed now; start a new process"):
        load_package("signs")
    metadata.write_text(metadata.read_text().replace("1.3", "1.2"))
    forget()
    assert Study.parse(study.to_toml()).members == study.members
    frozen.write_text(study.to_toml().replace('version = "1.2"', 'version = "1.1"'))
    with pytest.raises(PluginError, match="is not what the study was made with"):
        Study.load(frozen)


def test_packages_that_are_not_there_or_offer_too_much(site, tmp_path, monkeypatch):
    with pytest.raises(PluginError, match="the package 'nowhere' is not installed"):
        load_package("nowhere")
    package(site, "empty", "1.0", "x = 1")
    with pytest.raises(PluginError, match=r"cannot import 'empty_code:.*AttributeError"):
        load_package("empty")
    package(tmp_path / "beside", "others", "1.0", TASK)
    monkeypatch.syspath_prepend(str(tmp_path / "beside"))
    path = tmp_path / "study.toml"
    path.write_text(tiny_toml(WITHOUT_FILES))
    with pytest.raises(PluginError, match="the packages empty and others both offer 'held_sign'"):
        Study.load(path)
    with pytest.raises(PluginError, match="'numpy' offers no task, cell, measure or activation"):
        load_package("numpy")


def test_a_loaded_plugin_serves_an_atlas_that_was_made_with_it(study_file):
    study = Study.load(study_file)
    forget()
    for file in ("my_task.py", "code/my_cell.py", "my_measure.py"):
        load_plugin(study_file.parent / file)
    again = Study.parse(study.to_toml())
    assert again.to_toml() == study.to_toml()
    assert again.task("held_sign").probe().inputs.shape == (64, 6, 1)
