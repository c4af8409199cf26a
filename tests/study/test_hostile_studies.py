"""Study files of any content: each is refused in one message of at most 500 characters, in little time."""

import os

import pytest

from dynatlas.errors import LONGEST, DynatlasError, StudyError, shortened
from dynatlas.study.files import builtin_study_text
from dynatlas.study.settings import Analysis, Execution, Training
from dynatlas.study.study import Study
from support.studies import tiny_toml

HUGE = "9" * 5000
DEEP = "[" * 5000 + "]" * 5000


def refused(text, folder):
    (folder / "study.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DynatlasError) as raised:
        Study.load(folder / "study.toml")
    assert len(str(raised.value)) <= LONGEST
    assert isinstance(raised.value.__cause__, None | OSError | ValueError)  # no traceback
    return str(raised.value)


@pytest.mark.parametrize(
    "kind", ["[]", "{}", "[[1]]", "1", "true", "1979-05-27", "nan", "0x" + "f" * 5000, '""', '"\\u0000"']
)
def test_a_kind_that_is_no_name(kind, tmp_path):
    message = refused(f'name = "x"\n[[tasks]]\nkind = {kind}\n', tmp_path)
    assert "expected a text" in message or "there is no task" in message


@pytest.mark.parametrize("value", [HUGE, DEEP, "[" * 400 + "]" * 400, "{a=" * 2000 + "1" + "}" * 2000])
def test_numbers_and_tables_that_python_cannot_hold(value, tmp_path):
    assert "is not" in refused(f"name = {value}\n", tmp_path)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize(
    ("table", "key"), [("training", "clip_norm"), ("training", "learning_rate"), ("execution", "block_hours")]
)
def test_neither_nan_nor_infinity_is_a_setting(value, table, key, tmp_path):
    text = f'name = "x"\n[[tasks]]\nkind = "flip_flop"\n[{table}]\n{key} = {value}\n'
    assert f"{table}.{key}" in refused(text, tmp_path)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (table, key)
        for table, settings in {"training": Training, "execution": Execution, "analysis": Analysis}.items()
        for key, field in settings.model_fields.items()
        if type(field.default) in (int, float) or key == "svcca_components"
    ],
)
def test_no_number_overflows_in_a_worker(table, key, tmp_path):
    """A C integer and a float32 hold less than Python."""
    text = f'name = "x"\n[[tasks]]\nkind = "flip_flop"\n[{table}]\n{key} = {10**31}\n'
    assert f"{table}.{key}: input should be less than" in refused(text, tmp_path)


def test_a_probe_of_one_trial_has_no_halves(tmp_path):
    text = 'name = "x"\n[[tasks]]\nkind = "flip_flop"\nprobe_trials = 1\n'
    assert "probe_trials: input should be greater than or equal to 2, but it is 1" in refused(text, tmp_path)


def test_a_hexadecimal_number_of_thousands_of_digits_and_a_text_of_megabytes(tmp_path):
    text = 'name = "x"\n[[tasks]]\nkind = "flip_flop"\n[training]\n'
    assert "thousands of digits" in refused(text + "iterations = 0x" + "f" * 5000, tmp_path)
    message = refused(text + 'iterations = "' + "a" * 5_000_000 + '"', tmp_path)
    assert "training.iterations" in message
    assert "aaaa'…" in message
    assert "unknown key" in refused(text + f'"{"k" * 5_000_000}" = 1', tmp_path)


def test_a_file_that_is_no_study(tmp_path):
    assert "expected a study file" in refused(b"#" * 10_000_001, tmp_path)
    assert "utf-8" in refused(b"\xff\xfe", tmp_path)
    (tmp_path / "study.toml").unlink()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path, "a\0b"):
        with pytest.raises(StudyError, match="cannot read the study file"):
            Study.load(path)


def test_a_study_that_is_read_is_as_before(tmp_path):
    (tmp_path / "study.toml").write_text(tiny_toml())
    assert Study.load(tmp_path / "study.toml") == Study.parse(tiny_toml())
    assert len(Study.parse(builtin_study_text("paper")).members) == 8640


def test_a_long_message_keeps_its_beginning_and_its_end():
    message = f"the value is {'x' * 5000}; expected a number"
    kept = str(DynatlasError(message))
    assert len(kept) == LONGEST
    assert kept.startswith("the value is xxx")
    assert kept.endswith("; expected a number")
    assert shortened("short", LONGEST) == "short"
    assert str(DynatlasError(kept)) == kept
