// A transition graph: from each saddle, the stable points that displaced states reach.
function graphPlot(points, edges) {
  const roots = points.condition.map((_, point) => point).filter((point) => !points.is_slow[point]);
  const ranks = [...new Set(roots.map((point) => points.n_unstable[point]))].sort((a, b) => a - b);
  const place = new Map();
  for (const rank of ranks) {
    const row = roots.filter((point) => points.n_unstable[point] === rank);
    row.forEach((point, number) => place.set(point, [(number + 1) / (row.length + 1), ranks.indexOf(rank)]));
  }
  const lines = edges.source.map((source, number) => ({ source, target: edges.target[number], probability: edges.probability[number] }))
    .filter(({ source, target }) => source !== target && place.has(source) && place.has(target))
    .map(({ source, target, probability }) => ({
      type: "scatter", mode: "lines", showlegend: false, hoverinfo: "skip", opacity: 0.15 + 0.75 * probability,
      x: [place.get(source)[0], place.get(target)[0]], y: [place.get(source)[1], place.get(target)[1]],
      line: { width: 0.5 + 2.5 * probability, color: colorOfPoint(points.n_unstable[source]) },
    }));
  const leads = (source) => edges.source.flatMap((from, number) => (from === source ? [`→ point ${edges.target[number]}: ${Math.round(100 * edges.probability[number])} %`] : []));
  const nodes = ranks.map((rank) => {
    const row = roots.filter((point) => points.n_unstable[point] === rank);
    return {
      type: "scatter", mode: "markers", name: lookOfPoint(rank).label, hoverinfo: "text", cliponaxis: false,
      x: row.map((point) => place.get(point)[0]), y: row.map((point) => place.get(point)[1]),
      text: row.map((point) => [`point ${point}`, `readout ${plotText(points.readout[point])}`, ...leads(point)].join("<br>")),
      marker: { size: 12, color: colorOfPoint(rank), line: { color: "@surface", width: 1 } },
    };
  });
  return {
    data: [...lines, ...nodes],
    layout: {
      margin: { l: 90, r: 10, t: 15, b: 15 },
      xaxis: { visible: false, range: [0, 1] },
      yaxis: { tickvals: ranks.map((_, row) => row), ticktext: ranks.map((rank) => (rank ? `${rank} unstable` : "stable")), showgrid: false, zeroline: false, range: [-0.4, ranks.length - 0.6] },
    },
  };
}

// The linear frequencies of an oscillating network, against the commanded ones.
function frequencyPlot({ frequency, linear_frequency }) {
  const ends = [Math.min(...frequency), Math.max(...frequency)];
  return {
    data: [
      { type: "scatter", mode: "lines", x: ends, y: ends, line: { color: "@faint", dash: "dash" }, hoverinfo: "skip" },
      { type: "scatter", mode: "markers", x: frequency, y: linear_frequency, marker: { color: "#0072B2", size: 8 }, hovertemplate: "commanded %{x}<br>linear %{y}<extra></extra>" },
    ],
    layout: { margin: { l: 60, r: 10, t: 10, b: 45 }, xaxis: { title: { text: "commanded frequency (cycles per step)" } }, yaxis: { title: { text: "arg λ / 2π (cycles per step)" } } },
  };
}

// The dynamics of a network, by the computation of its task.
function formOf(network, details) {
  const task = valueOf(network, "task");
  const { fixed_points: points, transitions, oscillations, line_attractors: lines } = details;
  const { graph, computations } = atlas.tasks[task];
  if (graph) {
    const why = [points, transitions].find((part) => part.missing !== undefined);
    return section("Transition graph",
      paragraph("Each point is a fixed point, in a row by its number of unstable directions. A line leads to the point where states displaced along these directions settle; a bolder line means more of them."),
      why ? missing(why.missing || "This network has no transition.") :
      new Frame(`transitions-${nameOf(network)}`, `Transition graph of ${nameOf(network)}`, graphPlot(points, transitions)).element);
  }
  if (computations.includes("oscillation")) {
    return section("Frequencies",
      paragraph("The frequency of the linearised network at its fixed point, for each command. On the dashed line it equals the commanded frequency. There is no transition graph: a command usually has one fixed point."),
      oscillations.missing !== undefined ? missing(oscillations.missing || "No oscillation was found.") :
      new Frame(`frequencies-${nameOf(network)}`, `Linearised against commanded frequency of ${nameOf(network)}`, frequencyPlot(oscillations)).element);
  }
  if (!computations.includes("integration")) {
    return section("Dynamics", paragraph("This task declares no graph, frequencies or integrated inputs, so nothing more is drawn of its fixed points."));
  }
  return section("Line attractors",
    paragraph("For each context, the slow points along which the network holds its sum: the share of their variance along one line, the drift of the output there (as a share of its range, per step), and the share of the outputs' extent that is left a trial later without evidence (1 if all is held); and, from the linear dynamics around the fixed points, the output half a trial after a unit input (1 is perfect). There is no transition graph, because states do not move from point to point."),
    lines.missing !== undefined ? missing(lines.missing || "No line was sampled.") : plainTable(lines, {
      condition_name: "context", low: "lowest output", high: "highest", line_share: "share along a line", drift_share: "drift", held_range: "held", response_median: "response", n_points: "points", modes_needed: "modes needed",
    }, "Line attractors"));
}

// A plain table of a few columns.
function plainTable(columns, titles, label) {
  const names = Object.keys(titles).filter((name) => name in columns);
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, element("table", {},
    element("thead", {}, element("tr", {}, names.map((name) => element("th", { scope: "col" }, titles[name])))),
    element("tbody", {}, rowsOf(columns, names).map((row) => element("tr", {}, row.map((value) => element("td", { class: typeof value === "number" ? "num" : null }, shown(value))))))));
}
