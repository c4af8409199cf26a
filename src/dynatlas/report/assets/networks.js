// One network: state space, eigenvalues, neighbours, fixed points, training and settings.
function networkView([network]) {
  if (network === undefined) return { title: "Networks", show: showNetworks };
  if (!indexOf.has(network)) return notFound(`There is no network “${network}”.`);
  return { title: nameOf(network), show: (target) => showNetwork(target, network) };
}

function showNetworks(target) {
  const columns = ["name", "task", "architecture", "activation", "units", "l2", ...atlas.further, "seed", "mse", "r2", "passed", "reason", "network"];
  target.append(element("h1", { tabindex: -1 }, "Networks"));
  if (atlas.networks_missing) return target.append(missing(atlas.networks_missing));
  target.append(
    element("p", { class: "lead" }, "Open one to see its state space, its eigenvalues, how it learned, and its nearest neighbours. Click a heading to sort."),
    dataTable("networks", "All networks", columns.map((column) => ({
      name: column, title: column === "network" ? "id" : factorName(column), meaning: atlas.meanings[column],
      cell: column === "name" ? (value, row) => link(`#/network/${row.at(-1)}`, value) : column === "task" ? (value) => atlas.tasks[value]?.title ?? value : (value) => labelOf(column, value),
    })), rowsOf(population, columns)));
}

async function detailsOf(network) {
  const details = (await detail(valueOf(network, "file")))[network];
  if (!details) throw new Error(`The file detail/${valueOf(network, "file")}.js does not know the network ${network}: it belongs to another page. “dynatlas report” writes both anew.`);
  return details;
}

async function showNetwork(target, network) {
  const details = await detailsOf(network);
  const task = valueOf(network, "task");
  const passed = valueOf(network, "passed");
  target.append(
    element("p", { class: "kicker" }, link(`#/task/${task}`, atlas.tasks[task].title)),
    element("h1", { tabindex: -1, class: "name" }, nameOf(network)),
    element("p", { class: "numbers" }, `${kindOf(network)}, ${atlas.named.factors.includes("units") ? "" : `${valueOf(network, "units")} hidden units, `}seed ${valueOf(network, "seed")}. Error (MSE) on trials it was not trained on ${shown(valueOf(network, "mse"))}, R² ${shown(valueOf(network, "r2"))}. `,
      element("span", { class: `verdict ${passed ? "yes" : "no"}` }, passed ? "passed" : `left out: ${valueOf(network, "reason")}`)));
  if (passed) {
    const outside = details.space.n_outside;
    target.append(
      section("State space",
        paragraph(`Lines are the network’s activity on probe trials (at most the last ${atlas.most_steps} steps), in the three directions in which it varies most. Black points (white on a dark page) are stable fixed points; coloured points are saddles, each with a line along the direction that leads away fastest; grey crosses are slow points, where the activity lingers but does not stop. Drag to turn, click the legend to hide.${outside ? ` ${outside} point${outside > 1 ? "s lie" : " lies"} far outside and ${outside > 1 ? "are" : "is"} not drawn.` : ""}`),
        scaleOf(task), spaceFrame(network, details)),
      element("div", { class: "grid two" },
        section("Eigenvalues", paragraph("Of the Jacobian at every fixed point. Inside the circle a perturbation decays, outside it grows; off the real axis it turns."), spectrumFrame(network, details)),
        formOf(network, details)),
      section("Nearest neighbours",
        paragraph("The networks most like this one, nearest first: by the geometry of their activity, and by other aspects. Whether the two lists name networks of the same kinds is the question of the study."),
        neighborsOf(network, details.neighbors)),
      section("Fixed points",
        details.searches.missing !== undefined ? missing(details.searches.missing || "No search is stored.") : [
          paragraph("The outcome of the search under each static input. “Complete” means that the indices of all points found add up to 1, as those of all points must where the network maps a box into itself, that every boundary between the basins of two stable points has its saddle (in atlases of earlier versions, the sum alone), and that every point was reached more than once. “Consistent” means the sum alone: two missing points can cancel in it. Neither is a mathematical proof."),
          folded(details.searches.condition_name.length, "Every search", plainTable(details.searches, { condition_name: "input", n_roots: "fixed points", n_stable: "stable", n_slow: "slow", index_sum: "index sum", certificate: "certificate", certificate_reason: "because", n_starts: "starts" }, "Searches"))],
        details.attractors.missing === undefined ? element("details", {}, element("summary", {}, "Attractors after a trial"), plainTable(
          { ...details.attractors, condition: details.attractors.condition.map((condition) => atlas.tasks[task].conditions[condition] ?? condition) },
          { condition: "input", kind: "attractor", rotation_number: "turns per step", exponent_1: "largest Lyapunov exponent" }, "Attractors")) : null));
    if (details.behavior.missing === undefined) target.append(section("Behavior",
      paragraph("Error under variations of the task that the network was not trained on, as a share of the variance of the targets. At 1 the network is no better than a constant."),
      plainTable(details.behavior, { variation: "variation", error: "error" }, "Behavior")));
    if (details.robustness.missing === undefined) target.append(section("Robustness",
      paragraph("Basins of the stable fixed points, and how small a push leaves each: the share of states of the probe that go there, and the length of the smallest perturbation found, also as a share of the distance to the nearest other stable point. It is an upper bound."),
      folded(details.robustness.point.length, "Every stable point", plainTable(details.robustness, { condition: "input", point: "point", probe_share: "share of the probe", size: "smallest push", relative_size: "relative", destination: "leads to", saddle: "past" }, "Robustness"))));
    if (details.activity.missing === undefined) target.append(section("Activity",
      paragraph("The dimensions of the activity on the probe, and what it follows: the share of the units’ variance that inputs and targets explain by linear regression, and the mean share of it that the best single one explains in a unit (1: every unit follows one of them)."),
      plainTable(details.activity, { participation_ratio: "participation ratio", intrinsic_dimension: "intrinsic dimension", explained_share: "explained by inputs and targets", selectivity: "selectivity" }, "Activity")));
  } else {
    target.append(missing(`This network was left out of the analyses: ${valueOf(network, "reason")}. Only its training is known.`));
  }
  target.append(
    section("Training", lossFrame(network, details.losses)),
    section("Settings", settingsOf(network)),
    section("In Python", code(`from dynatlas import Atlas\n\natlas = Atlas.open(${JSON.stringify(atlas.path)})\ncell = atlas.network(${JSON.stringify(network)})\npoints = atlas.table("fixed_points").query("network == '${network}'")`)));
}

function lossFrame(network, losses) {
  if (losses.missing !== undefined) return missing(losses.missing || "No loss of this network is stored.");
  const line = (name, y, color, dash) => ({ type: "scatter", mode: "lines", name, x: losses.iteration, y, line: { color, dash, width: 2 } });
  return new Frame(`training-${nameOf(network)}`, `Loss of ${nameOf(network)} during training`, {
    data: [line("training loss", losses.training_loss, "#E69F00", "dot"), line("error on held-out trials (MSE)", losses.validation_mse, "#0072B2", "solid")],
    layout: { margin: { l: 65, r: 10, t: 10, b: 45 }, showlegend: true, legend: { orientation: "h", y: -0.2 }, xaxis: { title: { text: "iteration" } }, yaxis: { type: "log", exponentformat: "power", dtick: 1 } },
  }).element;
}

// A long table is folded.
const folded = (rows, title, table) => (rows > 8 ? element("details", {}, element("summary", {}, `${title} (${rows})`), table) : table);

function settingsOf(network) {
  const names = Object.keys(atlas.meanings);
  return element("dl", { class: "settings" }, names.map((name) => element("div", {},
    element("dt", { title: atlas.meanings[name] }, name.replaceAll("_", " ")), element("dd", {}, shown(valueOf(network, name)) || "—"))));
}

function neighborsOf(network, neighbors) {
  const measures = atlas.maps.filter((one) => one.task === valueOf(network, "task"));
  const column = (title, wanted) => {
    const stored = measures.filter((one) => wanted(one.aspect) && neighbors[one.measure]);
    const list = element("ol", { class: "neighbors" });
    const ties = element("p", { class: "muted small" });
    const fill = (measure) => {
      const away = neighbors[measure].map(([, distance]) => distance);
      ties.textContent = away.length > 1 && away[0] === away.at(-1) ? "These networks, and possibly others, have the same distance: their order has no meaning." : "";
      list.replaceChildren(...neighbors[measure].map(([other, distance]) => element("li", {},
      link(`#/network/${other}`, nameOf(other)), " ", element("span", { class: "muted small" }, `${kindOf(other)}, distance ${shown(distance)}`))));
    };
    if (!stored.length) return element("div", {}, element("h3", {}, title), missing("This network is on no such map: it was left out, or the atlas has no such map. Each map states why it leaves networks out."));
    fill(stored[0].measure);
    return element("div", {}, element("h3", {}, title),
      element("p", { class: "controls" }, select("By", stored.map((one) => [one.measure, one.label]), stored[0].measure, fill)), list, ties,
      element("p", {}, element("button", { type: "button", onclick: (event) => {
        const ids = [...event.target.closest("div").querySelectorAll("ol a")].slice(0, 3).map((a) => a.hash.split("/").at(-1));
        location.hash = `#/compare/${[network, ...ids].join(",")}`;
      } }, "Compare with the nearest three")));
  };
  return element("div", { class: "grid two" },
    column("In geometry", (aspect) => aspect === "geometry"), column("In other aspects", (aspect) => aspect !== "geometry"));
}
