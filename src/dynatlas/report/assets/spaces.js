// The rotatable state space of one network: trajectories on probe trials, fixed points, unstable directions of saddles.
const lookOfPoint = (nUnstable) => atlas.unstable[Math.min(nUnstable, atlas.unstable.length - 1)];
const colorOfPoint = (nUnstable) => (nUnstable === 0 ? "@ink" : lookOfPoint(nUnstable).color);

function spacePlot(space, points, task) {
  const { scale, conditions } = atlas.tasks[task];
  const at = ([x, y, z]) => ({ x, y: y ?? x.map(() => 0), z: z ?? x.map(() => 0) });
  const paths = space.paths.map((path, trial) => {
    const hover = scale ? `${scale.label}: ${space.values[trial]}${space.contexts.length ? `<br>context ${space.contexts[trial] + 1}` : ""}` : "";
    return {
      type: "scatter3d", mode: "lines", ...at(path), opacity: 0.75, showlegend: false,
      line: { color: space.colors[trial] ?? "@faint", width: 2 },
      ...(hover ? { hovertemplate: `${hover}<extra></extra>` } : { hoverinfo: "skip" }),
    };
  });
  const groups = new Map(); // number of unstable directions, or "slow" → places among those drawn
  space.row.forEach((row, place) => {
    const kind = points.is_slow[row] ? "slow" : Math.min(points.n_unstable[row], atlas.unstable.length - 1);
    groups.set(kind, [...(groups.get(kind) ?? []), place]);
  });
  const marks = [...groups.keys()].sort().flatMap((kind) => {
    const places = groups.get(kind);
    const name = kind === "slow" ? "slow point, not a root" : lookOfPoint(kind).label;
    const color = kind === "slow" ? "@muted" : colorOfPoint(kind);
    const hover = (place) => {
      const row = space.row[place];
      return plotText(conditions[points.condition[row]] ?? "") + `<br>readout ${plotText(points.readout[row])}<br>q = ${shown(points.q[row])}, largest |λ| ${shown(points.spectral_radius[row])}`;
    };
    const trace = {
      type: "scatter3d", mode: "markers", name: `${name} (${places.length})`, legendgroup: String(kind),
      ...at(space.at.map((component) => places.map((place) => component[place]))),
      marker: { color, size: 5, symbol: kind === "slow" ? "cross" : "circle", line: { width: 0 } },
      text: places.map((place) => `${name}<br>${hover(place)}`), hoverinfo: "text",
    };
    return [trace, directionsOf(space, places, color, String(kind), at)].filter(Boolean);
  });
  const title = (component) => ({ title: { text: `PC${component + 1} (${Math.round(100 * (space.share[component] ?? 0))} %)` }, showticklabels: false });
  return {
    data: [...paths, ...marks],
    layout: {
      margin: { l: 0, r: 0, t: 0, b: 0 },
      scene: { xaxis: title(0), yaxis: title(1), zaxis: title(2), aspectmode: "cube", camera: { eye: { x: 1.15, y: -1.38, z: 0.66 }, center: { x: 0, y: 0, z: -0.1 } } },
      legend: { orientation: "h", x: 0, y: 0, yanchor: "top", itemsizing: "constant" },
      showlegend: true,
      uirevision: "keep",
    },
  };
}

// A line through each of these saddles along its leading unstable direction; shown and hidden with them.
function directionsOf(space, places, color, legendgroup, at) {
  const saddles = places.filter((place) => space.directions.every((component) => component[place] !== null));
  if (!saddles.length) return null;
  const ends = space.at.map((component, axis) =>
    saddles.flatMap((place) => {
      const step = space.reach * space.directions[axis][place];
      return [component[place] - step, component[place] + step, null];
    }));
  return { type: "scatter3d", mode: "lines", ...at(ends), line: { color, width: 3 }, legendgroup, showlegend: false, hoverinfo: "skip" };
}

function spaceFrame(network, details) {
  if (details.space.missing !== undefined) return missing(details.space.missing);
  const task = valueOf(network, "task");
  return new Frame(`state-space-${nameOf(network)}`, `State space of ${nameOf(network)}: trajectories and fixed points in three principal components`,
    spacePlot(details.space, details.fixed_points, task), { shape: "space" }).element;
}

// Colour scale of the trajectories.
function scaleOf(task) {
  const { scale } = atlas.tasks[task];
  if (!scale) return null;
  return element("p", { class: "scale" }, element("span", {}, shown(scale.low)),
    element("span", { class: "ramp", style: `--ramp:${scale.colors.join(",")}` }), element("span", {}, shown(scale.high)), ` ${scale.label}`);
}
