"""Hostile text runs nothing in a browser."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from playwright.sync_api import expect
from pydantic import ValidationError

from dynatlas.study.study import Study
from support.browser import PAYLOADS, in_browser, write_page
from support.synthetic_atlas import synthetic_atlas

pytestmark = in_browser


# Words of our own by which the page looks things up: another one would name nothing.
KEYS = {"network", "task", "architecture", "activation", "measure", "aspect", "subset"}


def hostile_tables(tables: dict[str, pd.DataFrame], payloads: list[str]) -> None:
    """Every column of text of every table holds every payload, those of a row also in the row's own order."""
    for frame in tables.values():
        for column in set(frame.select_dtypes(["object", "string"]).columns) - KEYS:
            if all(isinstance(value, str) for value in frame[column]):
                rows = min(len(frame), 25)
                texts = ["".join(payloads[row::rows]) for row in range(rows)]
                frame[column] = [f"{texts[row % rows]}{row}" for row in range(len(frame))]


def hostile_study(study: Study, payload: str) -> tuple[Study, list[str]]:
    """The study with the payload in every text that may be any text, and where these are."""
    found = []

    def walk(value: Any, path: tuple[Any, ...]) -> None:
        nonlocal study
        if isinstance(value, dict | list | tuple):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                walk(item, (*path, key))
        elif isinstance(value, str):
            changed = study.model_dump(mode="json")
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = payload
            with suppress(ValidationError):
                study = Study.model_validate(changed)
                found.append(".".join(map(str, path)))

    walk(study.model_dump(mode="json"), ())
    return study, found


def hostile(value: Any, payloads: list[str]) -> Any:
    """The same with every text, and every name, replaced."""
    if isinstance(value, dict):
        kept = {key: hostile(item, payloads) for key, item in value.items()}
        return kept | dict.fromkeys(payloads, payloads)
    if isinstance(value, list):
        return [hostile(item, payloads) for item in value]
    return "".join(payloads) if isinstance(value, str) else value


def test_hostile_text_runs_nothing_in_any_view(opened: Any, tmp_path: Path) -> None:
    assert len(PAYLOADS) >= 50
    payloads = [payload.format("window.__ran=1") for payload in PAYLOADS]
    small: dict[str, Any] = {
        "population": {"units": [8], "l2": [1e-5], "seeds": 2},
        "tasks": [{"kind": "flip_flop", "steps": 8}],
    }
    atlas = synthetic_atlas(description="-", **small)
    hostile_tables(atlas.tables, payloads)
    title = "".join(payloads[:3])[:150]
    atlas.study, texts = hostile_study(atlas.study, title)
    assert texts == ["name", "description"]
    atlas.provenance = hostile(atlas.provenance, payloads)
    atlas.path = Path("/" + "".join(payloads).replace("/", ""))
    one = opened(at=write_page(atlas, tmp_path), viewport={"width": 1200, "height": 3000})
    ids = list(atlas.table("networks").query("network in @atlas.table('embeddings').network")["network"])
    tables = [f"tables/{name}" for name, frame in atlas.tables.items() if len(frame)]
    assert len(tables) >= 12
    for view in (
        *("overview", "task/flip_flop", "map/flip_flop/svcca?color=optimizer", "network", "tables"),
        *(f"network/{ids[0]}", f"compare/{','.join(ids[:2])}", *tables, f"tables/{payloads[0]}", payloads[1]),
    ):
        one.page.goto(f"{one.index.as_uri()}#/{view}")
        page = one.page
        page.wait_for_selector("h1:visible")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)))")
        page.mouse.move(600, 700)
        assert page.evaluate("window.__ran") is None, view
        assert page.locator("img, iframe, object, embed, form, base, link, video, audio").count() == 0, view
    page = one.go("overview")
    expect(page.locator("h1:visible")).to_have_text(title)
