"""Read a file in a process of its own: damage can crash, stall or exhaust the C libraries that read some formats."""

import json
import math
import os
import subprocess
import sys
import threading
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

import dynatlas
from dynatlas._io.sizes import DEFAULT_GB, max_bytes, max_gb
from dynatlas.errors import NetworkError
from dynatlas.recordings.formats.series import Read

SECONDS: Final = 20  # of CPU, for a file within the default limit; more in proportion
STALLED: Final = 5  # times as long by the clock, as on a busy machine or a slow disk
ROOM: Final = 1_000_000_000  # bytes beyond the arrays, for the libraries
START: Final = (
    "import json, sys; request = json.loads(sys.argv[1]); sys.path[:] = request['modules']; "
    "from dynatlas.recordings.formats.apart import answer; answer(request)"
)


def read_apart(path: Path, options: dict[str, Any]) -> Read:
    """Read a recording in another process, which has a limit of memory and of time.

    Args:
        path: the file.
        options: as of ``reading.read_here``.

    Raises:
        NetworkError: as in ``read_recording``; or the reader crashed or did not end.
    """
    package = str(Path(dynatlas.__file__).parents[1])
    request = {"path": str(path.absolute()), "options": options, "max_gb": max_gb(), "modules": [package, *sys.path]}
    # -I: no modules out of the current folder, which may be that of the data.
    command = [sys.executable, "-I", "-c", START, json.dumps(request)]
    quiet = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    seconds = _seconds()
    process = subprocess.Popen(  # noqa: S603 - this interpreter
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | quiet
    )
    timer = threading.Timer(STALLED * seconds, process.kill)
    with process, cast(BufferedReader, process.stdout) as answered:
        timer.start()
        try:
            line = answered.readline(1_000_000)
            reply = json.loads(line) if line else {}
            values = np.empty(0)
            if "dtype" in reply:
                values = np.empty(reply["shape"], reply["dtype"])
                filled = answered.readinto(values.reshape(-1).view(np.uint8).data)
                reply = reply if filled == values.nbytes else {}
        finally:
            timed_out = timer.finished.is_set()
            timer.cancel()
            process.kill()
    if "error" in reply:
        raise NetworkError(reply["error"].replace(request["path"], str(path)))
    if "dtype" not in reply:
        why = f"took more than {STALLED * seconds} s" if timed_out else f"ended it by exit code {process.returncode}"
        raise NetworkError(
            f"{path} is damaged, or needs more memory than {max_gb():g} GB: the process that read it {why[:80]}; raise "
            "the limit with --max-gb (max_gb=), or save the recording again"
        )
    return values, tuple(reply["facts"])


def answer(request: dict[str, Any]) -> None:
    """Read a file and write the result to stdout: a line of JSON, then the values."""
    from dynatlas._io.sizes import at_most
    from dynatlas.recordings.reading import read_here

    out = sys.stdout.buffer
    reply: dict[str, Any]
    values = np.empty(0)
    try:
        with at_most(request["max_gb"]):
            _bound(3 * max_bytes() + ROOM)
            found, facts = read_here(Path(request["path"]), **request["options"])
        values = np.ascontiguousarray(found, found.dtype.newbyteorder("="))
        reply = {"dtype": values.dtype.str, "shape": values.shape, "facts": facts}
    except NetworkError as error:
        reply = {"error": str(error)}
    except MemoryError:
        reply = {"error": f"{request['path']} needs more memory than expected of {request['max_gb']:g} GB (--max-gb)"}
    out.write(json.dumps(reply).encode() + b"\n")
    if values.size:
        out.write(values.reshape(-1).view(np.uint8).data)
    out.flush()


def _seconds() -> int:
    return math.ceil(SECONDS * max(1.0, max_gb() / DEFAULT_GB))


def _bound(more: int) -> None:
    """Let this process allocate ``more`` bytes and compute for a while, where the system has such limits."""
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (_seconds(), _seconds()))
    except (ImportError, OSError, ValueError):
        return
