import pytest

from dynatlas import Study
from dynatlas.errors import StudyError
from dynatlas.study.files import as_csv, builtin_studies
from support.studies import tiny_toml

TABLE = """# made by hand
task,architecture,activation,units,l2,learning_rate,momentum,mse
flip_flop,gru,tanh,8,,0.02,0.5,0.001
flip_flop,gru,relu,8,0.0001,0.03,0.25,0.002
"""


def load(folder, table=TABLE, **changes):
    """Load a study that takes its settings from a table."""
    (folder / "table.csv").write_text(table)
    population = {"architectures": ["gru"], "activations": ["tanh", "relu"], "units": [8], "l2": [1e-4, 1e-3]}
    study = {"tuned": "table.csv", "population": population, "training": {"learning_rate": 0.5}} | changes
    (folder / "study.toml").write_text(tiny_toml(**study))
    return Study.load(folder / "study.toml")


def test_a_table_sets_what_it_names_and_an_override_of_the_study_wins(tmp_path):
    study = load(tmp_path, overrides=[{"activation": "tanh", "training": {"momentum": 0.125}}])
    seen = {(m.activation, m.l2): (m.training.learning_rate, m.training.momentum) for m in study.members}
    assert seen == {
        ("tanh", 1e-4): (0.02, 0.125),
        ("tanh", 1e-3): (0.02, 0.125),
        ("relu", 1e-4): (0.03, 0.25),
        ("relu", 1e-3): (0.5, 0.9),
    }


def test_the_resolved_study_does_not_need_the_table(tmp_path):
    study = load(tmp_path)
    assert "tuned" not in study.to_toml()
    assert Study.parse(study.to_toml()).hash == study.hash


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.replace("momentum", "momentm"), "names 'momentm', which is no factor"),
        (TABLE.replace("units,", "size,"), "lacks the columns units"),
        (TABLE.replace("0.02", "fast"), "row 1: learning_rate is 'fast'; expected a float"),
        (TABLE.replace("gru,tanh", "gruu,tanh"), "overrides.0.architecture"),
        (TABLE.replace("0.5,", "1.5,"), "overrides.0.training"),
    ],
)
def test_a_bad_table_is_refused_with_where_and_what(tmp_path, table, message):
    with pytest.raises(StudyError, match=message):
        load(tmp_path, table)


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"cannot read the table of tuned settings 'none\.csv'"):
        load(tmp_path, tuned="none.csv")
    with pytest.raises(StudyError, match="tuned is 3; expected the name of a table"):
        load(tmp_path, tuned=3)


def test_of_several_searches_the_first_that_passes_counts_and_else_the_best():
    import io

    import pandas as pd

    def search(*errors):
        """One configuration per error; each with a chosen sample and one that was not."""
        rows = [
            {"task": "flip_flop", "architecture": "gru", "activation": "tanh", "units": units, "l2": 1e-5}
            | {"sample": sample, "mse": mse * (sample + 1), "passed": mse < 0.01, "chosen": sample == 0, "r2": 0.0}
            | {"optimizer": "sgd", "learning_rate": mse, "decay_rate": 0.5, "momentum": 0.5, "clip_norm": 1.0}
            | {"iterations": 9}
            for units, mse in errors
            for sample in (0, 1)
        ]
        return pd.DataFrame(rows)

    first = search((8, 0.5), (16, 0.009), (32, 0.3))
    second = search((8, 0.2), (16, 0.001), (32, 0.005), (64, 0.4))
    text = as_csv([first, second], "a command")
    assert text.startswith("# Made by: a command\n")
    table = pd.read_csv(io.StringIO(text), comment="#")
    assert dict(zip(table.units, table.mse, strict=True)) == {8: 0.2, 16: 0.009, 32: 0.005, 64: 0.4}
    assert table.samples.tolist() == [2] * 4


def test_desk_has_all_variants_tuned_with_the_papers_optimiser_where_the_task_was_searched():
    study = Study.load("desk")
    assert len(study.configurations) == 8 * 3 * 2
    assert len({member.seed for member in study.members}) >= 4
    optimizers = {(member.task, member.training.optimizer) for member in study.members}
    assert optimizers == {("flip_flop", "sgd"), ("sine_wave", "adam"), ("context_integration", "sgd")}
    searched = [members[0].training for shape, members in study.configurations.items() if shape.task != "sine_wave"]
    assert len({(one.learning_rate, one.momentum) for one in searched}) == 32
    assert study.population.untrained_controls


def test_the_papers_study_is_the_papers_population():
    assert {"demo", "desk", "paper"} <= set(builtin_studies())
    study = Study.load("paper")
    assert len(study.members) == 8640
    assert len(study.configurations) == 3 * 96
    assert {member.training.iterations for member in study.members} == {20_000}
    assert study.search.samples >= 1
    for block, members in study.blocks.items():
        size = study.size(members[0])
        hours = size.flops * 20_000 * len(members) / 1e10 / 3600
        assert len(members) == 1 or hours <= 1, block
