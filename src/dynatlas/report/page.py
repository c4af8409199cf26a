"""The page of an atlas, its detail files, and the figures beside it."""

import json
import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import pandas as pd
from markupsafe import Markup

from dynatlas._util.json import Json
from dynatlas._util.messages import count_of
from dynatlas.atlas.schema import columns
from dynatlas.atlas.view import (
    AtlasLike,
    Missing,
    Snapshot,
    levels_of,
    representatives,
    shown_factors,
    task_title,
    tasks,
)
from dynatlas.figures.catalogue import (
    DRAWN_FORMATS,
    FORMATS,
    PAPER,
    DynamicsFigure,
    Format,
    dynamics_figures,
    pictures,
    save_all,
)
from dynatlas.figures.counts import composition, modal_composition
from dynatlas.figures.looks import (
    GLYPHS,
    PALETTE,
    UNSTABLE,
    factor_label,
    looks_of,
    naming_factors,
    unstable_label,
)
from dynatlas.figures.state_spaces import MOST_STEPS, color_scale
from dynatlas.figures.style import render
from dynatlas.measures.aspects import ASPECTS
from dynatlas.measures.findings import TRANSITIONS, comparing
from dynatlas.report import plots
from dynatlas.report.details import MOST_EIGENVALUES, network_details
from dynatlas.report.headline import (
    claim_results,
    differences,
    factor_title,
    question,
    sentence,
    shares,
    summary,
)
from dynatlas.report.maps import map_details, map_list
from dynatlas.report.provenance import command, departures, history
from dynatlas.report.rendering import detail_file, page_script, render_page
from dynatlas.report.tables import MOST_ROWS, population, table_details, table_list
from dynatlas.report.values import cells

FIGURES = "report/figures"


def build_page(atlas: AtlasLike) -> dict[str, bytes]:
    """Build the page and its detail files; the linked figures can be drawn before or after."""
    snapshot = Snapshot(atlas)
    shown = [
        {
            "name": picture.name,
            "caption": picture.caption,
            "files": {
                format_: f"figures/{picture.name}.{format_}" for format_ in DRAWN_FORMATS if picture.name in PAPER
            },
        }
        for picture in pictures(snapshot).values()
    ]
    details = chain(network_details(snapshot), map_details(snapshot), table_details(snapshot))
    files = {f"report/detail/{name}.js": detail_file(name, content) for name, content in details}
    return files | {"report/index.html": page(snapshot, shown).encode()}


def build_figures(
    atlas: AtlasLike, formats: Sequence[Format] = FORMATS, names: Sequence[str] | None = None
) -> dict[str, bytes]:
    """Draw figures, by default all, in these formats."""
    return {f"{FIGURES}/{name}": content for name, content in save_all(atlas, formats, names).items()}


def page(atlas: AtlasLike, figures: list[Json]) -> str:
    """Return the page with its first view; other views load files beside it, as do the ``figures``."""
    content, looks = _PageContent(atlas), looks_of(atlas.study)
    shown = shown_factors(atlas.study)
    sections = content.task_sections()  # adds plots to the data
    return render_page(
        "report/template.html",
        atlas.study.name,
        page_script(),
        content.data(),
        # "file:" lets a page on disk load the details beside it; 'self' does the same on a server.
        sources="'self' file:",
        study=atlas.study,
        python_path=json.dumps(str(atlas.path), ensure_ascii=False),
        summary=content.get(summary),
        shares=content.get(shares),
        findings=content.get(claim_results),
        departures=departures(atlas.study),
        task_sections=sections,
        command=command(atlas.provenance),
        history=history(atlas.provenance),
        figures=figures,
        looks=list(looks[shown[0]].values()),
        shown=" and ".join(map(factor_label, shown)),
        question=question(atlas.study),
        differences=differences(atlas.study),
        aspects=ASPECTS,
        factor_title=factor_title,
    )


def inline_svg(file: bytes, name: str) -> Markup:
    """Return the ``<svg>`` element of a figure, with ids that are unique on the page."""
    element = re.sub("<metadata>.*</metadata>", "", file.decode(), flags=re.DOTALL)
    element = element[element.index("<svg") :].replace("*{", "#figure_1 *{")  # limits its style to the figure
    for reference in ('id="', 'href="#', "url(#", ">#"):
        element = element.replace(reference, f"{reference}{name}-")
    return Markup(element)  # noqa: S704 - drawn by matplotlib, which escapes its texts


class _PageContent:
    """Collects the data of the page; missing parts are replaced by messages."""

    def __init__(self, atlas: AtlasLike) -> None:
        self.atlas = atlas
        self.plots: Json = {}

    def get(self, read: Callable[..., Any], *args: Any) -> Json:
        """Return ``{"value": …, "missing": ""}`` or ``{"value": None, "missing": why}``."""
        try:
            return {"value": read(self.atlas, *args), "missing": ""}
        except Missing as missing:
            return {"value": None, "missing": str(missing)}

    def data(self) -> Json:
        """Return the data that the page contains for its script."""
        networks = self.get(population)
        return {
            "plots": self.plots,
            "networks": networks["value"] or {"network": []},
            "networks_missing": networks["missing"],
            "maps": map_list(self.atlas),
            "tables": table_list(self.atlas),
            "tasks": {kind: self._task(kind) for kind in tasks(self.atlas)},
            **self._factors(),
            "unstable": [{"color": color, "label": unstable_label(n)} for n, color in enumerate(UNSTABLE)],
            "meanings": {
                name: column.meaning for name, column in columns("networks", self.atlas.study.further_factors).items()
            },
            "path": str(self.atlas.path),
            "most_eigenvalues": MOST_EIGENVALUES,
            "most_steps": MOST_STEPS,
            "most_rows": MOST_ROWS,
        }

    def _factors(self) -> Json:
        """Return the factors of the study, those that the page shows first, and the looks of their levels."""
        study = self.atlas.study
        shown, (named, between) = shown_factors(study), naming_factors(study)
        looks = {
            factor: [
                [level, {"label": look.label, "title": look.title, "color": look.color, "symbol": look.symbol}]
                # Levels as they are among the networks.
                for level, look in zip(cells(pd.Series(levels_of(study, factor))), of_factor.values(), strict=True)
            ]
            for factor, of_factor in looks_of(study).items()
        }
        return {
            "factors": list(looks),
            "further": [factor.name for factor in study.further_factors],
            "shown": shown,
            "named": {"factors": named, "between": between},
            "looks": looks,
            "glyphs": GLYPHS,
            "palette": PALETTE,
        }

    def task_sections(self) -> list[Json]:
        """Return the content of the section of each task."""
        return [self._task_section(kind) for kind in tasks(self.atlas)]

    def _task(self, kind: str) -> Json:
        task, scale = self.atlas.study.task(kind), color_scale(self.atlas, kind)
        return {
            "title": task_title(self.atlas.study, kind),
            "conditions": list(task.condition_names()),
            "scale": None if scale is None else scale._asdict(),
            "graph": not comparing(TRANSITIONS).isdisjoint(task.topology),
            "computations": task.computations,
        }

    def _task_section(self, kind: str) -> Json:
        task = self.atlas.study.task(kind)
        of_task = [row for row in self.get(shares)["value"] or [] if row.task == kind]
        factors = dict.fromkeys(factor for row in of_task for factor in row.shares)
        sentences = [sentence(of_task, factor) for factor in factors]
        modal = self.get(modal_composition, kind)["value"]
        return {
            "kind": kind,
            "title": task_title(self.atlas.study, kind),
            "summary": task.summary,
            "sentences": [text for text in sentences if text],
            "performance": self._plot(f"performance-{kind}", plots.performance_plot, kind),
            "representatives": self.get(representatives, kind)["value"] or [],
            "modal": modal and (composition(modal[0]), f"{modal[1]:,} of {count_of(modal[2], 'search', 'searches')}"),
            "dynamics": [self._dynamics(kind, dynamics) for dynamics in dynamics_figures(self.atlas.study, kind)],
            "maps": [one for one in map_list(self.atlas) if one["task"] == kind],
        }

    def _plot(self, name: str, read: Callable[..., Any], *args: Any) -> dict[str, str]:
        """Add a plot to the data, and return what the template needs to place it."""
        got = self.get(read, *args)
        if got["value"] is not None:
            self.plots[name] = got["value"]
        return {"name": name, "missing": got["missing"]}

    def _dynamics(self, kind: str, dynamics: DynamicsFigure) -> dict[str, str]:
        """Return a dynamics figure as an element of the page."""
        caption = self.get(dynamics.describe, kind)
        content = {"heading": dynamics.heading, "missing": caption["missing"]}
        if caption["missing"]:
            return content
        svg = inline_svg(render(dynamics.draw(self.atlas, kind), "svg"), dynamics.name)
        return content | {"caption": caption["value"], "svg": svg}
