"""A process keeps the studies that it parsed, and never hands out one with other code than is loaded now."""

import pytest

from dynatlas import Atlas, Study, load_plugin
from dynatlas.errors import StudyError
from dynatlas.tasks.registry import TASKS
from support.plugin_files import forget, write_all
from support.studies import tiny_study, tiny_toml


def test_two_jobs_of_a_process_share_a_study_and_its_members(tmp_path):
    Atlas.create(tmp_path / "atlas", tiny_study())
    first, second = (Atlas.open(tmp_path / "atlas").study for _ in range(2))
    assert first is second
    assert first.members is second.members


def test_another_text_is_another_study():
    assert {member.seed for member in tiny_study().members} == {0, 1}
    more = tiny_study(population={"seeds": 3})
    assert {member.seed for member in more.members} == {0, 1, 2}


@pytest.mark.usefixtures("quick_compilation", "forgotten")
def test_a_text_is_read_again_whenever_other_code_is_loaded(tmp_path):
    file = write_all(tmp_path, population={"architectures": ["vanilla"]})
    frozen = Study.load(file).to_toml()

    def has_code():
        """Whether the study's task is the one that is registered, and not one made of the record."""
        return type(Study.parse(frozen).task("held_sign")) is TASKS.get("held_sign")

    assert has_code()
    forget()
    assert not has_code()
    load_plugin(tmp_path / "my_task.py")
    assert has_code()
    # The same bytes, imported again, are other classes.
    forget()
    load_plugin(tmp_path / "my_task.py")
    assert has_code()
    source = (tmp_path / "my_task.py").read_text()
    (tmp_path / "my_task.py").write_text(source + "# another version\n")
    load_plugin(tmp_path / "my_task.py")
    assert not has_code()
    (tmp_path / "my_task.py").write_text(source)
    load_plugin(tmp_path / "my_task.py")
    assert has_code()


def test_a_text_that_names_a_table_is_read_with_the_table_as_it_is_now(tmp_path):
    text = tiny_toml(tuned="table.csv")
    row = "task,architecture,activation,units,l2,learning_rate\nflip_flop,vanilla,tanh,4,,{rate}\n"
    for rate in (0.25, 0.125):
        (tmp_path / "table.csv").write_text(row.format(rate=rate))
        assert Study.parse(text, folder=tmp_path).members[0].training.learning_rate == rate


def test_a_wrong_text_is_refused_every_time():
    for _ in range(2):
        with pytest.raises(StudyError, match="mine: plugins names files"):
            Study.parse(tiny_toml(plugins=["my_task.py"]), "mine")
