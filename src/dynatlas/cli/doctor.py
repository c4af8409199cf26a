"""The command ``doctor``."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def doctor(
    *,
    folder: Annotated[Path, Parameter(help="Where atlases are to be written.")] = Path(),
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for scripts.")] = False,
) -> None:
    """Print versions, cores, devices and disk space, and try a short run.

    Args:
        folder: Where atlases are to be written.
        as_json: Print JSON for scripts.
    """
    from dynatlas._util.cores import available_cores
    from dynatlas._util.json import Json
    from dynatlas._util.messages import count_of
    from dynatlas.errors import DynatlasError
    from dynatlas.pipeline import installation

    if not folder.is_dir():
        raise DynatlasError(f"{folder} is no folder; expected one for atlases, by --folder")
    facts: Json = {
        "versions": installation.versions(),
        "machine": installation.machine() | {"usable_cores": available_cores()},
        "devices": installation.devices(),
        "disk": installation.disk(folder),
    }
    if not as_json:
        print("versions   " + ", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
        print(f"machine    {facts['machine']['system']}, {facts['machine']['processor']}")
        print(f"cores      {facts['machine']['usable_cores']} of {facts['machine']['cores']} can be used")
        print(f"devices    {', '.join(facts['devices'])}")
        print(f"disk       {facts['disk']['free'] / 1e9:,.1f} GB free in {facts['disk']['folder']}")
    trial = installation.try_a_run(folder)
    if as_json:
        print(json.dumps(facts | {"run": trial}))
    else:
        print(
            f"short run  {trial['learned']} of {count_of(trial['networks'], 'network')} learned, "
            f"{count_of(trial['fixed_points'], 'fixed point')}, {trial['seconds']:.0f} seconds"
        )
    if trial["problems"] or trial["learned"] < trial["networks"]:
        raise DynatlasError(
            f"the short run went wrong: {'; '.join(trial['problems']) or 'not all of its networks learned their task'}"
        )
    if not as_json:
        print("everything works")
