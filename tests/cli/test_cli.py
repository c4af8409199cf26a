"""The command line as a person or a script meets it: output, messages, exit codes."""

import json
import re

import pytest

from dynatlas import Atlas, Study
from dynatlas._util.messages import duration
from dynatlas.pipeline.progress import LOG
from dynatlas.statistics.claims import CLAIMS
from support.command_line import call
from support.studies import tiny_toml

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def study_file(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(tiny_toml())
    return path


def test_new_writes_a_commented_study_that_loads(tmp_path, capsys):
    path = tmp_path / "mine.toml"
    assert call("new", path) == 0
    assert Study.load(path) == Study.load("demo")
    assert sum(line.startswith("#") for line in path.read_text().splitlines()) >= 8
    assert f"dynatlas plan {path}" in capsys.readouterr().out


def test_new_never_overwrites(tmp_path, capsys):
    path = tmp_path / "mine.toml"
    path.write_text("precious")
    assert call("new", path) == 3
    assert path.read_text() == "precious"
    assert "exists; choose another name" in capsys.readouterr().err


def test_run_ends_with_the_result_and_the_path_of_the_report(tiny_run):
    assert tiny_run.code == 0
    assert "0 of 2 networks learned their task" in tiny_run.output
    assert "left out: 2 × MSE is not below 0.01" in tiny_run.output
    report = re.search(r"report: (.*)", tiny_run.output).group(1)
    assert report == str(tiny_run.atlas / "report" / "index.html")
    assert "training: 2 of 2 networks done" in tiny_run.errors  # plain lines: this is no terminal
    assert "\x1b" not in tiny_run.errors + tiny_run.output
    assert "\r" not in tiny_run.errors


def test_run_quietly(tiny_copy, capsys):
    assert call("run", tiny_copy / "study.toml", tiny_copy, "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_run_verbosely_tells_of_every_job_and_changes_no_number(tiny_atlas, study_file, tmp_path, capsys):
    folder = tmp_path / "atlas"
    assert call("run", study_file, folder, "--workers", 1, "--until", "geometry", "--verbose") == 0
    error = capsys.readouterr().err
    first, second = Atlas.open(tiny_atlas).entries, Atlas.open(folder).entries
    assert len(second) > 10
    assert {name: first[name] for name in second} == dict(second)
    lines = error.splitlines()
    assert all(re.match(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d\] ", line) for line in lines)
    block = "train flip_flop-vanilla-tanh-4"
    assert [line.count(f"{block}: begun by worker 0 on ") for line in lines].count(1) == 1
    [took] = re.findall(rf"{block}: done in ([\d.]+) s", error)
    [stored] = [run["job_seconds"][block] for run in Atlas.open(folder).provenance["runs"]]
    assert float(took) == stored
    assert not LOG.handlers[1:]
    assert call("run", study_file, folder, "--quiet", "--verbose") == 2


def test_status_counts_jobs(tiny_atlas, capsys):
    assert call("status", tiny_atlas) == 0
    assert "finished" in capsys.readouterr().out
    assert call("status", tiny_atlas, "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert status["finished"] is True
    assert status["stages"]["training"] == {"done": 1, "total": 1}


def test_status_of_an_unfinished_atlas_says_how_to_go_on(study_file, tmp_path, capsys):
    folder = tmp_path / "atlas"
    Atlas.create(folder, Study.load(study_file))
    assert call("status", folder) == 0
    assert f"not finished; to resume: dynatlas run {folder}/study.toml {folder}" in capsys.readouterr().out
    assert call("report", folder) == 4
    assert "is not finished" in capsys.readouterr().err


def test_verify_finds_damage_and_a_repaired_atlas_heals(study_file, tiny_copy, capsys):
    folder = tiny_copy
    assert call("verify", folder) == 0
    assert "0 damaged" in capsys.readouterr().out
    table = folder / "tables" / "losses.parquet"
    content = table.read_bytes()
    table.write_bytes(content[:-10])
    assert call("verify", folder) == 6
    captured = capsys.readouterr()
    assert "truncated: tables/losses.parquet" in captured.out
    assert "dynatlas verify --repair" in captured.err
    assert call("verify", folder, "--json") == 6
    assert json.loads(capsys.readouterr().out)["problems"] == [{"name": "tables/losses.parquet", "what": "truncated"}]
    # Files that no job promises, as which there are depends on results.
    detail = folder / "report" / "detail" / "table-losses.js"
    figure = min((folder / "report" / "figures").glob("*.png"))
    before = detail.read_bytes(), figure.read_bytes()
    detail.unlink()
    figure.write_bytes(b"")
    assert call("verify", folder, "--repair") == 0
    assert call("run", study_file, folder, "--workers", 1, "--quiet") == 0
    assert call("verify", folder) == 0
    assert table.read_bytes() == content
    assert (detail.read_bytes(), figure.read_bytes()) == before


@pytest.mark.usefixtures("processes")
def test_a_search_becomes_a_table_that_another_study_can_use(tmp_path, capsys):
    (tmp_path / "search.toml").write_text(tiny_toml(search={"samples": 3}))
    folder = tmp_path / "atlas"
    assert call("run", tmp_path / "search.toml", folder, "--workers", 1, "--until", "search") == 0
    atlas = Atlas.open(folder)
    assert not any(name.startswith("networks/") for name in atlas.entries)
    capsys.readouterr()
    assert call("tuned", folder) == 0
    (tmp_path / "table.csv").write_text(capsys.readouterr().out)
    (tmp_path / "study.toml").write_text(tiny_toml(tuned="table.csv"))
    samples = atlas.join_parts("samples")
    (best,) = samples[samples.chosen].itertuples()
    for member in Study.load(tmp_path / "study.toml").members:
        assert member.training.learning_rate == pytest.approx(best.learning_rate, rel=1e-5)
        assert member.training.clip_norm == pytest.approx(best.clip_norm, rel=1e-5)
        assert member.training.iterations == 3
    assert call("run", tmp_path / "search.toml", folder, "--until", "serch") == 1
    assert "no stage 'serch'; it has: search, training" in capsys.readouterr().err


def test_a_study_without_a_search_has_no_table(tiny_atlas, capsys):
    assert call("tuned", tiny_atlas) == 4
    assert "does not search" in capsys.readouterr().err


def test_claims_are_printed_each_with_its_verdicts(tiny_atlas, capsys):
    assert call("claims", tiny_atlas) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for claim in CLAIMS:
        assert f"{claim.number} {' '.join(claim.statement.split())}" in printed
    assert "the study does not have this task" in printed
    assert call("claims", tiny_atlas, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["verdict"] for row in rows} <= {"holds", "does not hold", "not testable here"}
    assert len(rows) == len(Atlas.open(tiny_atlas).table("claims"))


@pytest.mark.usefixtures("processes")
def test_plan_counts_and_predicts(study_file, capsys):
    assert call("plan", study_file, "--workers", 1, "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["networks"], plan["searches"], plan["pairs"]) == (2, 2, 1)
    # 6 steps × 2 trials × 3 iterations × 2 networks, 4·(4 + 1) + 4 weights, 2 operations each, thrice for the gradient
    assert plan["flops"] == 6 * 2 * 3 * 2 * 24 * 6
    stages = ["training", "fixed points", "behavior", "geometry", "topology", "controls", "maps", "report"]
    assert [stage["name"] for stage in plan["stages"]] == stages
    assert 0 < plan["seconds"] == plan["stages"][-1]["end"]
    assert plan["worker_bytes"] > 1e8
    assert plan["disk_bytes"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "nowhere.toml"], 3, "cannot read the study file 'nowhere.toml': No such file or directory"),
        (["plan", "nowhere.toml"], 3, "built-in studies: demo"),
        (["status", "nowhere"], 4, "nowhere"),
        (["verify", "nowhere"], 4, "nowhere"),
        (["report", "nowhere"], 4, "nowhere"),
        (["new", "x.toml", "--like", "dmo"], 3, "no built-in study 'dmo'; there are: demo"),
        (["run", "demo", "x", "--workers", "0"], 1, "workers is 0"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_code(arguments, code, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("dynatlas: ")
    assert message in error
    assert "Traceback" not in error


def test_a_different_study_has_its_own_exit_code(tiny_copy, tmp_path, capsys):
    other = tmp_path / "other.toml"
    other.write_text(tiny_toml(training={"iterations": 4}))
    assert call("run", other, tiny_copy) == 5
    assert "training.iterations: 3 → 4" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_refused(study_file, tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder")
    assert call("run", study_file, tmp_path / "file" / "atlas") == 4
    assert "file" in capsys.readouterr().err
    assert call("run", study_file, tmp_path / "file") == 4


def test_a_truncated_network_file_is_named(study_file, tiny_copy, capsys):
    folder = tiny_copy
    weights = folder / "networks" / "flip_flop-vanilla-tanh-4.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    for name in ("tables/networks.parquet", "parts/searches/flip_flop-vanilla-tanh-4.parquet"):
        (folder / name).unlink()
    Atlas.open(folder).discard("parts/searches/flip_flop-vanilla-tanh-4.parquet")
    assert call("run", study_file, folder, "--workers", 1, "--quiet") == 6
    error = capsys.readouterr().err
    assert "flip_flop-vanilla-tanh-4.safetensors is truncated" in error
    assert "dynatlas verify" in error


@pytest.mark.parametrize("arguments", [["bogus"], ["run"], ["run", "demo", "x", "--wrokers", "2"], ["status"]])
def test_wrong_arguments_have_exit_code_2(arguments, capsys):
    assert call(*arguments) == 2


@pytest.mark.parametrize("command", [[], ["new"], ["plan"], ["run"], ["status"], ["verify"], ["report"]])
def test_help_explains_every_command(command, capsys):
    assert call(*command, "--help") == 0
    text = capsys.readouterr().out
    assert len(text) > 200
    if not command:
        for name in ("new", "plan", "run", "status", "verify", "report", "Exit codes"):
            assert name in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.21, "3.2 seconds"), (600.0, "10.0 minutes"), (36e3, "10.0 hours"), (864e3, "10.0 days")]
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text
