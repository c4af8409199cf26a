"""How soon the report's page is seen, and what it weighs, for 72, 1,008 and 8,640 networks, in Chromium.

    python benchmarks/page.py [--quick] [--json FILE] [--atlas FOLDER]

Made-up atlases (``tests/support/large_atlas.py``), or a real one, become pages on the disk, which a headless Chromium
opens from there. Opening is timed until the view and every plot in the window are drawn, in a new context each time, so
that nothing is cached; switching is timed within one opened page, from the change of the address to the last plot
drawn. Each number is the median of five (``--quick``: one). Memory is that of all processes of the browser
(proportional set size, Linux alone), after one page has shown all of these views.
"""

import argparse
import json
import platform
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from dynatlas import Atlas
from dynatlas.report import page as report

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.large_atlas import POPULATIONS, large_atlas
from support.synthetic_atlas import synthetic_atlas

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
MAP = "map/flip_flop/svcca"
# The view is there, and every plot that the window shows is drawn; those below are drawn when they are scrolled to.
SEEN = """view => {
    const isDue = (plot) => !plot.closest('[hidden]') && plot.getBoundingClientRect().top < innerHeight;
    const heading = [...document.querySelectorAll('h1')].some((one) => !one.closest('[hidden]'));
    return document.body.dataset.shown === view && heading
        && [...document.querySelectorAll('.plot')].every((plot) => !isDue(plot) || plot.dataset.drawn !== undefined);
}"""


def written(atlas, folder):
    """The page of an atlas on the disk: its index, and the seconds it took to make."""
    started = time.perf_counter()
    files = report.build_page(atlas)
    seconds = time.perf_counter() - started
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / "report" / "index.html", seconds


def opening(browser, index, view):
    """Seconds from the address to the view."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    page = context.new_page()
    started = time.perf_counter()
    page.goto(f"{index.as_uri()}#/{view}")
    page.wait_for_function(SEEN, arg=view)
    seconds = time.perf_counter() - started
    context.close()
    return seconds


def switching(browser, index, view):
    """Seconds from the overview to the view."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    page = context.new_page()
    page.goto(f"{index.as_uri()}#/overview")
    page.wait_for_function(SEEN, arg="overview")
    started = time.perf_counter()
    page.evaluate("view => { location.hash = `#/${view}`; }", view)
    page.wait_for_function(SEEN, arg=view)
    seconds = time.perf_counter() - started
    context.close()
    return seconds


def memory(browser, index, views):
    """Megabytes of all processes of the browser after one page has shown the views."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    page = context.new_page()
    page.goto(f"{index.as_uri()}#/overview")
    for view in views:
        page.evaluate("view => { location.hash = `#/${view}`; }", view)
        page.wait_for_function(SEEN, arg=view)
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    texts = [Path(f"/proc/{process['id']}/smaps_rollup").read_text() for process in processes]
    context.close()
    return sum(int(re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)[1]) for text in texts) / 1e3


def measure(browser, atlas, folder, repeats):
    """All numbers of one atlas."""
    index, seconds = written(atlas, folder)
    group = next(name for name in atlas.entries if name.startswith("arrays.zarr/trajectories/"))
    details = [path.stat().st_size for path in (index.parent / "detail").iterdir()]
    network = f"network/{group.rsplit('/', 1)[1]}"
    timed = {
        "first view": lambda: opening(browser, index, "overview"),
        "first view, of a map": lambda: opening(browser, index, MAP),
        "to a task": lambda: switching(browser, index, "task/flip_flop"),
        "to a map": lambda: switching(browser, index, MAP),
        "to a network": lambda: switching(browser, index, network),
        "to the table of networks": lambda: switching(browser, index, "tables/networks"),
    }
    return {
        "networks": len(atlas.study.members),
        "page_mb": index.stat().st_size / 1e6,
        "largest_detail_mb": max(details) / 1e6,
        "making_seconds": seconds,
        "seconds": {name: statistics.median(time_one() for _ in range(repeats)) for name, time_one in timed.items()},
        "memory_mb": memory(browser, index, ["task/flip_flop", MAP, network, "tables/networks", "overview"]),
    }


def main():
    """Print a table, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one opening each, and no 8,640 networks")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    parser.add_argument("--atlas", type=Path, help="a finished atlas, instead of the made-up ones; it does not change")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if arguments.atlas:
        atlases = iter([Atlas.open(arguments.atlas)])
    else:
        demo = synthetic_atlas()
        atlases = (large_atlas(demo, count) for count in list(POPULATIONS)[: 2 if arguments.quick else None])
    rows = []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        version = browser.version
        for atlas in atlases:
            count = len(atlas.study.members)
            one = measure(browser, atlas, Path(folder) / str(count), 1 if arguments.quick else 5)
            rows.append(one)
            print(f"{one['networks']:,} networks: page {one['page_mb']:.1f} MB, made in {one['making_seconds']:.1f} s")
            for name, seconds in one["seconds"].items():
                print(f"  {name:<26} {seconds:.2f} s", flush=True)
            print(f"  {'memory of the browser':<26} {one['memory_mb']:.0f} MB", flush=True)
        browser.close()
    if arguments.json:
        result = {"chromium": version, "machine": platform.machine(), "quick": arguments.quick, "pages": rows}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
