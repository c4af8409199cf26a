"""A worker process on this machine: ``python -m dynatlas.pipeline.workers.process``.

It reads its settings, with the key of the run, from standard input, so that no other user can see them. It ends when
standard input does, as that means that the main process has ended, however it did.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from typing import Any

import dask

from dynatlas.pipeline.workers import interruption


def main() -> None:
    """Work until the scheduler or the main process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides
    settings = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_main, daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGUSR1):  # a batch system sends them to every process
        signal.signal(number, lambda *_: interruption.request_stop())
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(settings["config"]):
        asyncio.run(_work(settings))


def _end_with_main() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)


async def _work(settings: dict[str, Any]) -> None:
    from distributed import Worker
    from distributed.security import Security

    worker = Worker(
        settings["scheduler"],
        name=settings["name"],
        nthreads=1,
        host="127.0.0.1",
        memory_limit=0,
        local_directory=settings["folder"],
        security=Security(**settings["security"]),
        dashboard=False,
        dashboard_address="127.0.0.1:0",
    )
    async with worker:
        await worker.finished()


if __name__ == "__main__":
    main()
