"""One self-contained page that shows an atlas, and the figures beside it. Stored tables in, files out."""

import json
import re
from collections.abc import Callable, Sequence
from importlib import metadata, resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from dynatlas.figures.captions import count_of, modal_composition
from dynatlas.figures.counts import composition
from dynatlas.figures.distances import FACTORS
from dynatlas.figures.reading import AtlasLike, Missing, Snapshot, map_facts, measures, tasks
from dynatlas.figures.saving import DYNAMICS, FORMATS, Format, pictures, save_all
from dynatlas.figures.style import ACTIVATIONS, ARCHITECTURES, MEASURES, TASK_TITLES, UNSTABLE, render
from dynatlas.figures.trajectories import MOST_STEPS, MOST_TRIALS, color_scale
from dynatlas.report import plots
from dynatlas.report.departures import departures
from dynatlas.report.headline import headline, sentence, summary
from dynatlas.report.history import command, history
from dynatlas.report.root_table import root_table
from dynatlas.report.spaces import state_spaces

FIGURES = "report/figures"


def build(atlas: AtlasLike) -> dict[str, bytes]:
    """Write the page and draw the figures.

    Returns:
        File name within the atlas, ``report/index.html`` and ``report/figures/…``, → its content.
    """
    snapshot = Snapshot(atlas)
    return build_page(snapshot) | build_figures(snapshot)


def build_page(atlas: AtlasLike) -> dict[str, bytes]:
    """Write the page alone; it links the figures, which may be drawn before or after."""
    snapshot = Snapshot(atlas)
    shown = [
        {
            "name": picture.name,
            "caption": picture.caption,
            "files": {format_: f"figures/fig-{picture.name}.{format_}" for format_ in FORMATS},
        }
        for picture in pictures(snapshot).values()
    ]
    return {"report/index.html": page(snapshot, shown).encode()}


def build_figures(atlas: AtlasLike, formats: Sequence[Format] = FORMATS) -> dict[str, bytes]:
    """Draw the figures in some formats."""
    return {f"{FIGURES}/{name}": content for name, content in save_all(atlas, formats).items()}


def page(atlas: AtlasLike, figures: list[dict[str, Any]]) -> str:
    """The page: everything it shows is in it; ``figures`` are links to files beside it."""
    from plotly.offline import get_plotlyjs

    content = _Content(atlas)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    template = environment.from_string(_resource("template.html"))
    return template.render(
        study=atlas.study,
        python_path=json.dumps(str(atlas.path), ensure_ascii=False),
        version=metadata.version("dynatlas"),
        summary=content.get(summary),
        departures=departures(atlas.study),
        headline=content.get(headline),
        factors=content.factors(),
        task_sections=content.task_sections(),
        roots=content.get(root_table),
        command=command(atlas.provenance),
        history=history(atlas.provenance),
        figures=figures,
        architectures={name: ARCHITECTURES[name] for name in atlas.study.population.architectures},
        activations={name: ACTIVATIONS[name] for name in atlas.study.population.activations},
        unstable=UNSTABLE,
        most_steps=MOST_STEPS,
        css=Markup(_resource("page.css")),  # noqa: S704 - our own files
        script=Markup(_resource("page.js")),  # noqa: S704
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),  # noqa: S704
        data=script_json(content.data),
    )


def script_json(value: Any) -> Markup:
    """JSON that may stand in a ``<script>``: no text in it can end the element or open another one."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def inline_svg(file: bytes, name: str) -> Markup:
    """A figure's ``<svg>`` element, with ids that no other figure on the page has."""
    element = re.sub("<metadata>.*</metadata>", "", file.decode(), flags=re.DOTALL)
    element = element[element.index("<svg") :].replace("*{", "#figure_1 *{")  # its style must not reach the page
    for reference in ('id="', 'href="#', "url(#", ">#"):
        element = element.replace(reference, f"{reference}{name}-")
    return Markup(element)  # noqa: S704 - drawn by matplotlib, which escapes its texts


class _Content:
    """Fills the page's data and notes, for each part that is missing, what to say instead."""

    def __init__(self, atlas: AtlasLike) -> None:
        self.atlas = atlas
        self.data: dict[str, Any] = {"plots": {}, "spaces": {}}

    def get(self, read: Callable[..., Any], *args: Any) -> dict[str, Any]:
        """``{"value": …}`` or ``{"missing": why}``."""
        try:
            return {"value": read(self.atlas, *args), "missing": ""}
        except Missing as missing:
            return {"value": None, "missing": str(missing)}

    def plot(self, name: str, read: Callable[..., Any], *args: Any) -> dict[str, str]:
        """Put a plot into the data; what the template needs to place it."""
        got = self.get(read, *args)
        if got["value"] is not None:
            self.data["plots"][name] = got["value"]
        return {"name": name, "missing": got["missing"]}

    def factors(self) -> list[str]:
        """The columns of the headline table."""
        rows = self.get(headline)["value"] or []
        return list(dict.fromkeys(factor for row in rows for factor in row.effects))

    def task_sections(self) -> list[dict[str, Any]]:
        """What the page says of each task."""
        return [self._task_section(kind) for kind in tasks(self.atlas)]

    def _task_section(self, kind: str) -> dict[str, Any]:
        task = self.atlas.study.task(kind)
        spaces = self.get(state_spaces, kind)
        if spaces["value"]:
            self.data["spaces"][kind] = spaces["value"]
        of_task = [row for row in self.get(headline)["value"] or [] if row.task == kind]
        sentences = [sentence(of_task, factor) for factor in self.factors()]
        modal = self.get(modal_composition, kind)["value"]
        scale = color_scale(self.atlas, kind)
        return {
            "kind": kind,
            "title": TASK_TITLES[kind],
            "steps": task.steps,
            "n_outputs": task.n_outputs,
            "conditions": len(task.condition_names()),
            "sentences": [text for text in sentences if text],
            "performance": self.plot(f"performance-{kind}", plots.performance_plot, kind),
            "spaces": spaces,
            "scale": scale,
            "most_trials": MOST_TRIALS[kind],
            "modal": modal and (composition(modal[0]), f"{modal[1]:,} of {count_of(modal[2], 'search', 'searches')}"),
            "dynamics": self._dynamics(kind),
            "maps": [self._map(kind, measure) for measure in measures(self.atlas, kind)],
        }

    def _dynamics(self, kind: str) -> dict[str, str]:
        """The figure of what the fixed points form, as an element of the page."""
        name, draw, describe = DYNAMICS[kind]
        caption = self.get(describe)
        if caption["missing"]:
            return {"missing": caption["missing"]}
        return {"missing": "", "caption": caption["value"], "svg": inline_svg(render(draw(self.atlas), "svg"), name)}

    def _map(self, kind: str, measure: str) -> dict[str, Any]:
        name = f"{kind}-{measure}"
        return {
            "measure": measure,
            "label": MEASURES.get(measure, measure),
            "facts": map_facts(self.atlas, kind, measure),
            "matrix": self.plot(f"matrix-{name}", plots.matrix_plot, kind, measure),
            "maps": {
                factor: self.plot(f"map-{name}-{factor}", plots.map_plot, kind, measure, factor) for factor in FACTORS
            },
        }


def _resource(name: str) -> str:
    return (resources.files("dynatlas.report") / name).read_text(encoding="utf-8")
