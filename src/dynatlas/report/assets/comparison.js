// Some networks side by side: their state spaces, and the settings in which they differ.
const MOST_COMPARED = 6; // a browser draws few spaces at once

function compareView([list = ""]) {
  const networks = [...new Set(list.split(",").filter((network) => indexOf.has(network)))];
  if (networks.length < 2) return notFound("Select at least two networks on a map to compare them.");
  return { title: `${networks.length} networks compared`, show: (target) => showComparison(target, networks) };
}

async function showComparison(target, networks) {
  const drawn = networks.slice(0, MOST_COMPARED);
  const details = await Promise.all(drawn.map(detailsOf));
  const factors = varying(networks);
  target.append(
    element("h1", { tabindex: -1 }, `${networks.length} networks compared`),
    networks.length > drawn.length ? paragraph(`The state spaces of the first ${drawn.length} are drawn.`) : "",
    element("div", { class: "grid" }, drawn.map((network, place) => element("figure", {},
      element("figcaption", {}, link(`#/network/${network}`, nameOf(network)), element("br"), element("span", { class: "muted small" }, kindOf(network))),
      spaceFrame(network, details[place])))),
    section("Where they differ", plainTable(
      { name: networks.map(nameOf), ...Object.fromEntries(factors.map((factor) => [factor, networks.map((network) => labelOf(factor, valueOf(network, factor)))])) },
      { name: "network", ...Object.fromEntries(factors.map((factor) => [factor, factorName(factor)])) }, "Settings of the compared networks")));
}
