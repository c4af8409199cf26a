import pytest

from dynatlas import Study
from dynatlas.errors import StudyError
from dynatlas.study import builtin_studies

TABLE = """# made by hand
task,architecture,activation,units,l2,learning_rate,momentum,mse
flip_flop,gru,tanh,8,,0.02,0.5,0.001
flip_flop,gru,relu,8,0.0001,0.03,0.25,0.002
"""
STUDY = """
name = "small"
tuned = "table.csv"
[[tasks]]
kind = "flip_flop"
[population]
architectures = ["gru"]
units = [8]
l2 = [1e-4, 1e-3]
seeds = 1
[training]
learning_rate = 0.5
"""


def load(folder, table=TABLE, study=STUDY):
    (folder / "table.csv").write_text(table)
    (folder / "study.toml").write_text(study)
    return Study.load(folder / "study.toml")


def test_a_table_sets_what_it_names_and_an_override_of_the_study_wins(tmp_path):
    override = '[[overrides]]\nactivation = "tanh"\ntraining = { momentum = 0.125 }\n'
    study = load(tmp_path, study=STUDY + override)
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
        (TABLE.replace("momentum", "momentm"), r"unknown columns \['momentm'\]"),
        (TABLE.replace("units,", "size,"), r"lacks \['units'\]"),
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
        load(tmp_path, study=STUDY.replace("table.csv", "none.csv"))
    with pytest.raises(StudyError, match="tuned is 3; expected the name of a table"):
        load(tmp_path, study=STUDY.replace('"table.csv"', "3"))


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
