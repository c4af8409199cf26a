// The map of a task's networks by one measure: coloured by a factor, filtered, compared, opened.
function mapView([task, measure], query) {
  const here = atlas.maps.find((one) => one.task === task && one.measure === measure);
  if (!here) {
    if (task || !atlas.maps.length) return notFound(`There is no map of “${task}” by “${measure}”.`);
    return mapView([atlas.maps[0].task, atlas.maps[0].measure], query);
  }
  return { title: `${atlas.tasks[task].title} by ${here.label}`, show: (target) => showMap(target, here, query) };
}

async function showMap(target, here, query) {
  const { task, measure, label } = here;
  const go = (to, by) => { location.hash = `#/map/${to}/${by}`; };
  const ofTask = (kind) => atlas.maps.filter((one) => one.task === kind);
  const other = (kind) => (ofTask(kind).some((one) => one.measure === measure) ? measure : ofTask(kind)[0].measure);
  const details = await detail(here.file);
  const why = details.flat.missing;
  target.append(
    element("h1", { tabindex: -1 }, `${atlas.tasks[task].title}: networks by ${label}`),
    element("p", { class: "lead" }, `Networks lie the closer together, the more alike they are in what is compared: ${here.compares}.`),
    element("p", { class: "controls" },
      select("Task", Object.entries(atlas.tasks).map(([kind, { title }]) => [kind, title]), task, (kind) => go(kind, other(kind))),
      select("Compare by", ofTask(task).map((one) => [one.measure, `${one.label} (${one.aspect})`]), measure, (by) => go(task, by))));
  target.append(why === undefined ? mapOf(here, details, query) : missing(why), effectsOf(details.effects), matrixOf(here, details.matrix));
}

function mapOf(here, details, query) {
  const networks = details.flat.network.filter((network) => indexOf.has(network));
  const factors = varying(networks);
  const state = { factor: factors.includes(query.get("color")) ? query.get("color") : factors[0], hidden: new Set(), isSolid: false, isPicking: false, picked: new Set() };
  const name = `map-${here.task}-${here.measure}`;
  const legend = element("div");
  const facts = details.facts;
  const plot = () => mapPlot(state.isSolid ? details.solid : details.flat, networks.filter((network) => !isHidden(network)), networks, state);
  const isHidden = (network) => [...state.hidden].some((key) => { const [factor, level] = JSON.parse(key); return valueOf(network, factor) === level; });
  const frame = new Frame(name, `Map of the networks on the task ${atlas.tasks[here.task].title} by ${here.label}`, plot(), {
    shape: "map",
    onclick: (network) => { if (state.isPicking) pick(network, !state.picked.has(network)); else location.hash = `#/network/${network}`; },
  });
  const draw = () => { frame.show(plot()); legend.replaceChildren(legendOf(state.factor, networks)); };
  function pick(network, isPicked) {
    if (isPicked) state.picked.add(network); else state.picked.delete(network);
    const box = list.querySelector(`input[data-network="${CSS.escape(network)}"]`);
    if (box) box.checked = isPicked;
    compare.textContent = state.picked.size ? `Compare ${state.picked.size} selected` : "Select networks to compare";
    compare.disabled = state.picked.size < 2;
    draw();
  }
  const compare = element("button", { type: "button", disabled: true, onclick: () => { location.hash = `#/compare/${[...state.picked].join(",")}`; } }, "Select networks to compare");
  const filters = factors.filter((factor) => [...atlas.factors, "seed"].includes(factor)).map((factor) =>
    element("fieldset", { class: "filter" }, element("legend", {}, factorName(factor)), levelsOf(factor, networks).map((level) =>
      element("label", {}, element("input", { type: "checkbox", checked: true, onchange: (event) => {
        const key = JSON.stringify([factor, level]);
        if (event.target.checked) state.hidden.delete(key); else state.hidden.add(key);
        draw();
      } }), labelOf(factor, level)))));
  const columns = ["name", ...factors];
  const list = dataTable(name, "Networks on this map", [
    { name: "selected", title: "Compare", cell: (_, row) => element("input", { type: "checkbox", "aria-label": `Compare ${row[1]}`, "data-network": row.at(-1), checked: state.picked.has(row.at(-1)), onchange: (event) => pick(row.at(-1), event.target.checked) }) },
    ...columns.map((column) => ({ name: column, title: factorName(column), cell: column === "name" ? (value, row) => link(`#/network/${row.at(-1)}`, value) : (value) => labelOf(column, value) })),
    { name: "network", title: "id", meaning: "the network's id" },
  ], networks.map((network) => [null, ...columns.map((column) => valueOf(network, column)), network]));
  legend.replaceChildren(legendOf(state.factor, networks));
  const modes = details.solid.missing === undefined ? [["flat", "two"], ["solid", "three"]] : [["flat", "two"]];
  return [
    element("div", { class: "controls" },
      select("Colour by", factors.map((factor) => [factor, factorName(factor)]), state.factor, (factor) => { state.factor = factor; draw(); }),
      modes.length > 1 ? radios("Dimensions", modes, "flat", (mode) => { state.isSolid = mode === "solid"; draw(); }) : null,
      radios("A click", [["open", "opens the network"], ["pick", "selects it"]], "open", (mode) => { state.isPicking = mode === "pick"; }),
      compare),
    filters.length ? element("div", { class: "filters", role: "group", "aria-label": "Show only" }, filters) : null,
    legend, frame.element,
    facts ? element("p", { class: "muted small" }, `${facts.note}${facts.stress_3d === undefined || facts.stress_3d === null ? "" : ` (${shown(facts.stress_3d)} in three dimensions)`}. The axes have no meaning; only distances count. Stress measures their distortion, and 0 is none. ${facts.n_left_out ? `Left out: ${facts.n_left_out}, ${facts.left_out_reason}.` : "No network that passed is left out."}`) : null,
    element("details", {}, element("summary", {}, `All ${networks.length} networks on this map, as a list`), list),
  ].filter(Boolean).reduce((all, part) => { all.append(part); return all; }, element("section"));
}

function mapPlot(places, visible, all, { factor, isSolid, picked }) {
  const at = new Map(places.network.map((network, place) => [network, place]));
  const other = otherFactor(factor);
  const shapes = levelsOf(other, all);
  const numeric = isNumeric(factor, all);
  const type = isSolid ? "scatter3d" : "scatter";
  const size = visible.length > 400 ? 6 : 10;
  const coordinates = (some) => Object.fromEntries((isSolid ? ["x", "y", "z"] : ["x", "y"]).map((letter) => [letter, some.map((network) => places[letter][at.get(network)])]));
  const symbol = (level) => { const given = lookOf(other, level, 0).symbol; return isSolid ? SYMBOLS_3D[given] ?? given : given; };
  const cloud = (some, marker) => ({
    type, mode: "markers", ...coordinates(some), customdata: some,
    text: some.map((network) => `${plotText(nameOf(network))}<br>${plotText(factorName(factor))}: ${plotText(labelOf(factor, valueOf(network, factor)))}${furtherOf(network, factor).map((line) => `<br>${plotText(line)}`).join("")}`), hoverinfo: "text",
    marker: { size: isSolid ? size / 2 : size, opacity: 0.9, line: { color: "@surface", width: isSolid ? 0 : 0.7 }, ...marker },
  });
  const levels = numeric ? [null] : levelsOf(factor, all);
  const traces = levels.flatMap((level, place) => shapes.map((shape) => {
    const some = visible.filter((network) => at.has(network) && valueOf(network, other) === shape && (numeric || valueOf(network, factor) === level));
    const colors = numeric ? { color: some.map((network) => valueOf(network, factor)), coloraxis: "coloraxis" } : { color: lookOf(factor, level, place).color };
    return some.length ? cloud(some, { ...colors, symbol: symbol(shape) }) : null;
  })).filter(Boolean);
  const ringed = [...picked].filter((network) => at.has(network) && visible.includes(network));
  if (ringed.length) {
    traces.push({ type, mode: "markers", ...coordinates(ringed), hoverinfo: "skip", marker: { symbol: "circle-open", size: size + (isSolid ? 4 : 8), color: "@ink", line: { color: "@ink", width: 2 } } });
  }
  const bare = { showticklabels: false, zeroline: false, showgrid: isSolid, title: { text: "" } };
  return {
    data: traces,
    layout: {
      margin: { l: 5, r: 5, t: 5, b: 5 }, uirevision: `${isSolid}`,
      coloraxis: { colorscale: "Cividis", colorbar: { title: { text: factorName(factor) }, thickness: 10, outlinewidth: 0 } },
      ...(isSolid
        ? { scene: { xaxis: bare, yaxis: bare, zaxis: bare, aspectmode: "data" } }
        : { xaxis: { ...bare, showline: true, mirror: true }, yaxis: { ...bare, showline: true, mirror: true, scaleanchor: "x" } }),
    },
  };
}

// The factor that symbols show beside the one that colours show.
const otherFactor = (factor) => (factor === atlas.shown[1] ? atlas.shown[0] : atlas.shown[1]);

function legendOf(factor, networks) {
  const other = otherFactor(factor);
  const colors = isNumeric(factor, networks) ? [] : levelsOf(factor, networks).map((level, place) =>
    element("li", {}, element("span", { class: "dot", style: `--c:${lookOf(factor, level, place).color}` }), titleOf(factor, level)));
  const shapes = levelsOf(other, networks);
  return element("ul", { class: "legend", "aria-label": "Colours and shapes" }, colors, shapes.length > 1 ? shapes.map((level) =>
    element("li", {}, element("span", { class: "glyph", "aria-hidden": "true" }, atlas.glyphs[lookOf(other, level, 0).symbol] ?? "●"), titleOf(other, level))) : []);
}

function effectsOf(effects) {
  const about = paragraph(`For each factor: the share of the variance of the distances that it adds to the other factors (R², with a 95 % interval and its mean over permutations), p after correction for the number of factors, the probability of a lower value (if below 0.05, the distance is no measure of difference between these groups), the spread of the most dispersed kind over that of the least with its p (PERMDISP), how well its groups separate (silhouette, −1 to 1), and how often a network’s nearest other one is of the same kind.${effects.subset?.some((subset) => subset !== "all") ? " Architectures are also compared among the tanh networks only, and activations among the vanilla ones, as in the paper." : ""}`);
  if (effects.missing !== undefined) return section("Which factors separate the networks?", missing(effects.missing));
  const range = (value, low, high) => value.map((one, row) => `${shown(one)} (${shown(low[row])} to ${shown(high[row])})`);
  const e = effects;
  return section("Which factors separate the networks?", about, plainTable({
    factor: e.factor.map(factorName), subset: e.subset, r2: range(e.r2, e.r2_low, e.r2_high), chance: e.r2_chance, p: e.p_adjusted, p_lower: e.p_lower, dispersion: e.dispersion, dispersion_p: e.dispersion_p, silhouette: e.silhouette, accuracy: e.accuracy, accuracy_chance: e.accuracy_chance, n: e.n_networks,
  }, { factor: "factor", subset: "among", r2: "R² (95 % interval)", chance: "by chance", p: "p, corrected", p_lower: "p, lower tail", dispersion: "spread", dispersion_p: "p of spread", silhouette: "silhouette", accuracy: "nearest alike", accuracy_chance: "by chance", n: "networks" }, "Effects of the factors"));
}

function matrixOf(here, matrix) {
  const title = "Distance matrix";
  if (matrix.missing !== undefined) return section(title, missing(matrix.missing));
  const names = matrix.network.map((network) => plotText(nameOf(network)));
  const count = names.length;
  const ends = matrix.network.map((network, row) => [row, kindOf(network)]).filter(([row, kind]) => row === 0 || kindOf(matrix.network[row - 1]) !== kind);
  const middles = ends.map(([row, kind], place) => [((ends[place + 1]?.[0] ?? count) + row - 1) / 2, kind]);
  const ticks = { tickvals: middles.map(([row]) => row), ticktext: middles.map(([, kind]) => plotText(kind)), ticks: "", showgrid: false, zeroline: false, constrain: "domain" };
  const plot = {
    data: [{
      type: "heatmap", z: matrix.distance, colorscale: "Cividis", zmin: 0, hoverongaps: false, colorbar: { thickness: 10, outlinewidth: 0, len: 0.6, title: { text: "distance" } },
      hoverinfo: "text", text: matrix.distance.map((row, i) => row.map((value, j) => `${names[i]}<br>${names[j]}<br>distance ${shown(value)}`)),
    }],
    layout: { margin: { l: 100, r: 10, t: 10, b: 100 }, xaxis: { ...ticks, tickangle: -60 }, yaxis: { ...ticks, autorange: "reversed", scaleanchor: "x" } },
  };
  return section(title,
    paragraph(`The distance between every two networks, sorted by ${atlas.named.factors.map(factorName).join(" and ")}; dark is similar. Dark squares on the diagonal mean that networks of one kind resemble each other.`),
    matrix.n_all > count ? paragraph(`${count} of ${matrix.n_all} networks are drawn, evenly spaced.`) : "",
    new Frame(`matrix-${here.task}-${here.measure}`, `${here.label} distances of the networks on the task ${atlas.tasks[here.task].title}`, plot, { shape: "matrix" }).element);
}
