"""A local Dask scheduler and workers, started as processes of the `dask` command line."""

import json
import os
import subprocess
import sys
import time

import psutil


class DaskProcesses:
    """One scheduler, always at the same address, and its workers."""

    def __init__(self, folder):
        self._folder, self._port, self._count = folder, 0, 0
        self.scheduler, self.address, self.workers = None, "", []

    def start(self, workers):
        file = self._folder / f"scheduler-{self._count}.json"
        self._count += 1
        arguments = ["--host", "127.0.0.1", "--port", self._port, "--no-dashboard", "--scheduler-file", file]
        self.scheduler = self._start("dask_scheduler", *arguments)
        wait_until(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = json.loads(file.read_text())["address"]
        self._port = int(self.address.rsplit(":", 1)[1])
        for _ in range(workers):
            self.start_worker()

    def start_worker(self, **environment):
        from dynatlas.pipeline.workers.cluster import WORKER_ENVIRONMENT

        arguments = [self.address, "--nthreads", 1, "--no-dashboard", "--local-directory", self._folder]
        self.workers.append(self._start("dask_worker", *arguments, **(WORKER_ENVIRONMENT | environment)))

    def kill_scheduler(self):
        self.scheduler.kill()
        self.scheduler.wait()

    def kill_workers(self):
        """Kill the workers; their child processes end with them."""
        for process in self.workers:
            process.kill()
            process.wait()
        self.workers = []

    def stop(self):
        for process in (*self.workers, self.scheduler):
            process.terminate()
        for process in (*self.workers, self.scheduler):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.workers = []

    def _start(self, command, *arguments, **environment):
        line = [sys.executable, "-m", f"distributed.cli.{command}", *map(str, arguments)]
        log = (self._folder / f"{command}.log").open("a")
        with log:
            return subprocess.Popen(line, env=os.environ | environment, stdout=log, stderr=log)


def worker_pid(nanny):
    """Return the worker process of a nanny, or None if it has none."""
    for child in psutil.Process(nanny.pid).children():
        try:
            if any("spawn_main" in part for part in child.cmdline()):
                return child.pid
        except psutil.NoSuchProcess:
            continue
    return None


def wait_until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not true within {seconds} s"
        time.sleep(0.1)
