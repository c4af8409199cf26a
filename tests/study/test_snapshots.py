"""Which iterations of which networks a study keeps."""

from itertools import pairwise

import pytest

from dynatlas.errors import StudyError
from dynatlas.study.settings import Snapshots
from dynatlas.study.study import Study
from support.studies import tiny_study, tiny_toml


@pytest.mark.parametrize("total", [1, 2, 7, 200, 2000, 12_345, 10_000_000])
@pytest.mark.parametrize("count", [2, 3, 12, 100])
def test_a_number_stands_for_the_start_the_end_and_equal_ratios_between(total: int, count: int) -> None:
    kept = Snapshots(iterations=count).of(total)
    assert kept[0] == 0
    assert kept[-1] == total
    assert list(kept) == sorted(set(kept))
    assert len(kept) <= count
    if total == 10_000_000 and count == 12:
        ratios = [later / earlier for earlier, later in pairwise(kept[1:])]
        assert ratios == pytest.approx([200 ** (1 / 10)] * 10, rel=1e-4)
        assert len(kept) == 12


def test_the_short_form_is_that_of_a_table() -> None:
    assert tiny_study(snapshots=5) == tiny_study(snapshots={"iterations": 5})
    assert tiny_study(snapshots=[0, 2]) == tiny_study(snapshots={"iterations": [0, 2]})


def test_only_the_first_seeds_are_followed() -> None:
    study = tiny_study(snapshots={"iterations": [0, 3], "seeds": 1})
    assert [study.snapshots_of(member) for member in study.members] == [(0, 3), ()]
    assert [tiny_study().snapshots_of(member) for member in study.members] == [(), ()]


def test_snapshots_change_the_study_and_none_of_its_networks() -> None:
    plain, followed = tiny_study(), tiny_study(snapshots=4)
    assert [member.id for member in plain.members] == [member.id for member in followed.members]
    assert plain.hash != followed.hash
    assert "snapshots" not in plain.to_toml()


def test_a_resolved_study_reads_back() -> None:
    for study in (tiny_study(snapshots=4), tiny_study(snapshots={"iterations": [0, 1], "seeds": 1})):
        again = Study.parse(study.to_toml(), is_resolved=True)
        assert again == study
        assert again.hash == study.hash


@pytest.mark.parametrize(
    ("snapshots", "message"),
    [
        (1, "expected 2 to 1,000 snapshots, or a list of iterations, but it is 1"),
        (-3, "expected 2 to 1,000 snapshots"),
        ([], "expected a number of snapshots, or a list of iterations"),
        ([1.5], "expected a number of snapshots, or a list of iterations"),
        ([-1, 3], r"iterations are \[-1, 3\]; expected each once, in ascending order from 0"),
        ([3, 1], r"iterations are \[3, 1\]; expected each once, in ascending order"),
        ([0, 0], r"iterations are \[0, 0\]; expected each once"),
        ([0, 4], "snapshots at iteration 4, and no network of this study trains for more than 3"),
        ({"iterations": 3, "seeds": 0}, "greater than or equal to 1"),
        ({"every": 3}, "every"),
        ({"units": 5}, "snapshots are of networks with units = 5, and this study has none; its levels are 4"),
        ({"activation": "than"}, "snapshots.activation: expected one of 'tanh'"),
        (True, "expected a number of snapshots, a list of iterations, or a table, but it is True"),
    ],
)
def test_bad_snapshots_are_refused(snapshots: object, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        Study.parse(tiny_toml(snapshots=snapshots))


def test_only_networks_that_match_the_factors_are_followed() -> None:
    study = tiny_study(
        population={"units": [4, 6], "seeds": 2}, snapshots={"iterations": [0, 3], "seeds": 1, "units": 6}
    )
    followed = [(member.units, member.seed) for member in study.members if study.snapshots_of(member)]
    assert followed == [(6, 0)] * len(followed)
    assert [study.follows(block) for block in study.blocks] == [block.units == 6 for block in study.blocks]
    again = Study.parse(study.to_toml(), is_resolved=True)
    assert (again, again.hash) == (study, study.hash)
