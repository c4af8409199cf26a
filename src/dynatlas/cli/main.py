"""The command line: parse, call one function, print."""

import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Group, Parameter, validators
from rich.console import Console
from rich.table import Table

from dynatlas.cli import figures as figure_commands
from dynatlas.cli import networks as network_commands
from dynatlas.cli import recordings as recording_commands
from dynatlas.errors import AtlasError, DamagedAtlasError, DynatlasError, StudyError

if TYPE_CHECKING:
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.study.study import Study


app = App(
    name="dynatlas",
    help="""Train populations of recurrent networks, find what each computes, and map how alike they are.

    A study is one TOML file; its result is one folder, an atlas.

        dynatlas new study.toml            write a commented study file
        dynatlas plan study.toml           what it will cost here
        dynatlas run study.toml my-atlas   carry it out; run again to go on after an interruption
        dynatlas status my-atlas           how far it is, also while it runs
        dynatlas report my-atlas           where the page is
        dynatlas figures my-atlas          the figures of the paper, and more, for print
        dynatlas analyze NETWORK           what a network that was trained elsewhere computes
        dynatlas place my-atlas RECORDING  where a recording lies among the networks

    Exit codes:

        0  done                      4  folder is no atlas, in use, or not writable
        1  something went wrong      5  folder holds a different study
        2  wrong arguments           6  atlas is damaged
        3  bad study file            7  stopped by SIGTERM or SIGUSR1; run again to go on
        8  bad network or recording  130  interrupted; run again to go on
    """,
    help_format="plaintext",
)


Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for scripts.")]


StudyName = Annotated[str, Parameter(help="A study file, or a built-in study: demo, desk, paper.")]


TELLING = Group("What is printed meanwhile (one of)", validator=validators.MutuallyExclusive())


WHERE = Group("Where the jobs run (one of)", validator=validators.MutuallyExclusive())


AtlasFolder = Annotated[Path, Parameter(help="The atlas folder.")]


@app.command
def new(path: Path, /, *, like: str = "demo") -> None:
    """Write a commented study file to start from.

    Args:
        path: Where to write it; an existing file is never overwritten.
        like: The built-in study to copy.
    """
    from dynatlas.study.files import builtin_studies, builtin_study_text

    if like not in builtin_studies():
        raise StudyError(f"no built-in study {like!r}; there are: {', '.join(builtin_studies())}")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(builtin_study_text(like))
    except FileExistsError:
        raise StudyError(f"{path} exists; choose another name, or remove it first") from None
    except OSError as error:
        raise StudyError(f"cannot write {path}: {error.strerror}") from None
    print(f"wrote {path}\nedit it, then: dynatlas plan {path}")


@app.command
def plan(
    study: StudyName,
    /,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    as_json: Json = False,
) -> None:
    """Count what a study consists of, and predict its time, memory and disk from a short calibration.

    Args:
        study: A study file, or a built-in study.
        workers: Processes to count on; by default one per core, or all workers of the scheduler.
        scheduler: Calibrate on the workers of the Dask scheduler at this address, instead of here.
        as_json: Print JSON for scripts.
    """
    from dynatlas.pipeline import planning
    from dynatlas.study.study import Study

    result = planning.plan(Study.load(study), workers, scheduler)
    if as_json:
        stages = [stage._asdict() for stage in result.stages]
        totals = {"flops": result.flops, "seconds": result.seconds}
        print(json.dumps(result._asdict() | totals | {"stages": stages}))
        return
    table = Table("stage", "jobs", "TFLOP", "worker time", "starts after", "ends after", box=None, pad_edge=False)
    for stage in result.stages:
        flops = f"{stage.flops / 1e12:,.3g}" if stage.flops else "–"
        times = (duration(seconds) for seconds in (stage.worker_seconds, stage.start, stage.end))
        table.add_row(stage.name, f"{stage.jobs:,}", flops, *times)
    console = Console()
    console.print(table)
    console.print(
        f"\n{result.networks:,} networks in {result.blocks} blocks; {result.searches:,} fixed-point searches; "
        f"{result.pairs:,} pairs per measure.\nAbout {duration(result.seconds)} on {result.workers} workers, up to "
        f"{result.worker_bytes / 1e9:.1f} GB of memory in a worker, {result.disk_bytes / 1e6:,.0f} MB on disk."
    )


@app.command
def run(
    study: StudyName,
    out: Annotated[Path | None, Parameter(help="The atlas folder; by default atlases/NAME.")] = None,
    /,
    *,
    workers: Annotated[int | None, Parameter(group=WHERE)] = None,
    scheduler: Annotated[str | None, Parameter(group=WHERE)] = None,
    cluster: Annotated[Path | None, Parameter(group=WHERE)] = None,
    show_job_script: Annotated[bool, Parameter(negative="")] = False,
    until: str | None = None,
    quiet: Annotated[bool, Parameter(group=TELLING, negative="")] = False,
    verbose: Annotated[bool, Parameter(group=TELLING, negative="")] = False,
) -> None:
    """Carry out a study: train, analyse, map, report. Run it again to go on after an interruption.

    Args:
        study: A study file, or a built-in study.
        out: The atlas folder; by default atlases/NAME.
        workers: Processes on this machine, each with one thread; by default one per core.
        scheduler: Use the workers of the Dask scheduler at this address, such as tcp://host:8786, instead.
        cluster: Use workers in SLURM jobs, as this TOML file describes them, instead.
        show_job_script: Print the script of the SLURM jobs, and do nothing.
        until: The last stage to carry out, such as "search" or "training"; by default all.
        quiet: Print only the result.
        verbose: Print where and when each job begins and ends, and what is done again.
    """
    from contextlib import nullcontext

    from dynatlas.cli.summary import print_summary
    from dynatlas.pipeline import runner
    from dynatlas.pipeline.progress import Quiet, every_job_noted, progress_on
    from dynatlas.pipeline.workers.cluster import job_script
    from dynatlas.pipeline.workers.slurm import Slurm
    from dynatlas.study.study import Study

    slurm = Slurm.load(cluster) if cluster else None
    if show_job_script:
        if slurm is None:
            raise DynatlasError("--show-job-script shows what --cluster asks for; give it a file")
        print(job_script(slurm), end="")
        return
    loaded = Study.load(study)
    folder = out or Path("atlases") / _file_name(loaded)
    with (
        nullcontext(Quiet()) if quiet else progress_on(Console(stderr=True)) as progress,
        every_job_noted(progress) if verbose else nullcontext(),
    ):
        atlas = runner.run(
            loaded, folder, workers=workers, scheduler=scheduler, slurm=slurm, progress=progress, until=until
        )
    if until is None:
        print_summary(atlas, Console())


@app.command
def tuned(*atlases: AtlasFolder) -> None:
    """Print the settings that searches chose, as a table that another study can name: CSV.

    Args:
        atlases: The atlas folders of studies that search. A configuration that several have searched gets what the
            first of them found with which it passes; if there is none, what has the smallest error.
    """
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.study.files import as_csv

    if not atlases:
        raise AtlasError("name at least one atlas of a study that searches")
    searches = []
    for atlas in atlases:
        opened = Atlas.open(atlas)
        if opened.study.search is None:
            raise AtlasError(f"the study of {atlas} does not search; it would with a table [search]")
        samples = opened.join_parts("samples")
        errors = zip(samples.task, samples.mse, samples.r2, strict=True)
        passed = [opened.study.task(str(task)).passes(float(mse), float(r2)) for task, mse, r2 in errors]
        searches.append(samples.assign(passed=passed))
    print(as_csv(searches, f"dynatlas tuned {' '.join(atlas.name for atlas in atlases)}"), end="")


@app.command
def status(atlas: AtlasFolder, /, *, as_json: Json = False) -> None:
    """Show how far a run is, and how fast; also while it runs, from another terminal.

    Args:
        atlas: The atlas folder.
        as_json: Print JSON for scripts.
    """
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.pipeline.jobs import jobs_of
    from dynatlas.pipeline.status import age, seems_gone

    opened = Atlas.open(atlas)
    stages: dict[str, dict[str, int]] = {}
    entries = opened.entries
    for job in jobs_of(opened.study):
        counts = stages.setdefault(job.stage, {"done": 0, "total": 0})
        counts["done"] += job.is_done(entries)
        counts["total"] += 1
    finished = all(counts["done"] == counts["total"] for counts in stages.values())
    progress = opened.progress
    if as_json:
        news = progress | {"age": age(progress), "seems_gone": seems_gone(progress)} if progress else None
        print(json.dumps({"study": opened.study.name, "finished": finished, "stages": stages, "run": news}))
        return
    for stage, counts in stages.items():
        print(f"{stage:<14} {counts['done']:>4} of {counts['total']} jobs done")
    if finished:
        print("finished")
        return
    if progress:
        _print_news(progress)
    if not progress or progress["state"] != "running" or seems_gone(progress):
        print(f"not finished; to go on: dynatlas run {atlas / 'study.toml'} {atlas}")


@app.command
def verify(atlas: AtlasFolder, /, *, repair: bool = False, as_json: Json = False) -> None:
    """Re-hash everything that the atlas says is complete.

    Args:
        atlas: The atlas folder.
        repair: Take damaged entries out of the manifest, so that the next run makes them again.
        as_json: Print JSON for scripts.
    """
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.pipeline.jobs import to_redo

    opened = Atlas.open(atlas)
    problems = opened.verify()
    damaged = [problem for problem in problems if problem.what != "unknown"]
    if repair and damaged:
        with opened.lock():
            opened.discard(*to_redo(opened.study, [problem.name for problem in damaged]))
    if as_json:
        found = [{"name": problem.name, "what": problem.what} for problem in problems]
        print(json.dumps({"entries": len(opened.entries), "problems": found}))
    else:
        for problem in problems:
            print(f"{problem.what}: {problem.name}")
        print(f"{len(opened.entries)} entries checked, {len(damaged)} damaged")
    if damaged and not repair:
        raise DamagedAtlasError(
            f"{len(damaged)} entries of {atlas} are damaged; `dynatlas verify --repair {atlas}`, then run it again"
        )


@app.command
def report(atlas: AtlasFolder, /) -> None:
    """Write the figures and the page again from the stored tables, and say where they are.

    Args:
        atlas: The atlas folder.
    """
    from dynatlas.cli.summary import print_summary
    from dynatlas.pipeline.runner import rebuild_report

    opened = _finished(atlas)
    rebuild_report(opened)
    print_summary(opened, Console())


@app.command
def claims(atlas: AtlasFolder, /, *, as_json: Json = False) -> None:
    """Print what the atlas says of the claims of the literature: verdict, number, interval, and where it is from.

    Args:
        atlas: The atlas folder.
        as_json: Print JSON for scripts.
    """
    from dynatlas.cli.summary import print_claims

    opened = _finished(atlas)
    if as_json:
        print(opened.table("claims").to_json(orient="records"))
    else:
        print_claims(opened, Console(highlight=False))


app.command(figure_commands.figures)


app.command(network_commands.analyze)


app.command(network_commands.convert)


app.command(network_commands.export)


app.command(recording_commands.probe)


app.command(recording_commands.place)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, and turn errors into messages and exit codes."""
    try:
        app(arguments)
    except DynatlasError as error:
        if error.__cause__ is not None and not isinstance(error.__cause__, OSError | ValueError):
            traceback.print_exception(error.__cause__)  # not the user's to put right: somebody will want to see where
        print(f"dynatlas: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def _finished(folder: Path) -> "Atlas":
    """An atlas of which everything but the report is there."""
    from dynatlas.atlas.atlas import Atlas

    atlas = Atlas.open(folder)
    if not atlas.has("tables/claims.parquet"):
        raise AtlasError(f"{folder} is not finished; go on with: dynatlas run {folder / 'study.toml'} {folder}")
    return atlas


def _file_name(study: "Study") -> str:
    """The study's name as a folder name: letters, digits, dots and dashes."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in study.name).strip("-.")
    return kept or "study"


def _print_news(progress: Mapping[str, Any]) -> None:
    """What a run, or the last one, has told of itself."""
    from dynatlas.pipeline.status import age, seems_gone

    who = f"process {progress['pid']} on {progress['host']}"
    old = f"{duration(age(progress))} ago"
    if seems_gone(progress):
        print(f"the run ({who}) seems to be gone: it last wrote {old}")
        return
    if progress["state"] != "running":
        print(f"the last run ({who}) {progress['state']} {old}")
        return
    print(f"running ({who}); as of {old}:")
    training = progress["stages"].get("training", {"done": 0, "total": 0})
    print(f"  {training['done']} of {training['total']} networks trained")
    for block, news in progress["blocks"].items():
        loss = "–" if news["loss"] is None else f"{news['loss']:.4g}"
        print(f"  {block}: {news['iterations']:,} of {news['of']:,} iterations, loss {loss}")
    if progress["networks_per_hour"]:
        print(
            f"  {progress['networks_per_hour']:,.3g} networks per hour, {progress['iterations_per_second']:,.3g} "
            f"iterations per second; about {duration(progress['training_seconds_left'])} of training left"
        )
