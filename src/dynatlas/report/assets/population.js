// The networks: their values, their looks on plots, and the factors in which they differ.
const population = atlas.networks;
const indexOf = new Map(population.network.map((network, index) => [network, index]));
const FACTORS = ["architecture", "activation", "units", "l2", "seed", "optimizer", "learning_rate", "iterations", "mse", "r2"];
const LEVELS = 12; // a factor with more levels than this is coloured as a number
const PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#B8860B", "#7A6FAC", "#6B8E23", "#8C564B", "#999999", "#17A2A2"];
const SYMBOLS_3D = { "triangle-up": "cross", star: "x" }; // plotly has fewer in three dimensions

const valueOf = (network, factor) => population[factor][indexOf.get(network)];
const nameOf = (network) => (indexOf.has(network) ? valueOf(network, "name") : network);
const labelOf = (factor, level) => atlas.looks[factor]?.[level]?.label ?? shown(level);
const factorName = (factor) => ({ l2: "L2 penalty", mse: "error (MSE)", r2: "R²", learning_rate: "learning rate" })[factor] ?? factor;
const kindOf = (network) => `${labelOf("architecture", valueOf(network, "architecture"))} ${labelOf("activation", valueOf(network, "activation"))}`;

// Format a value.
function shown(value) {
  if (value === null || value === undefined) return "—";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(2).replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(4)));
}

// The levels of a factor among some networks, in canonical order.
function levelsOf(factor, networks) {
  const found = [...new Set(networks.map((network) => valueOf(network, factor)))];
  const known = Object.keys(atlas.looks[factor] ?? {});
  return found.sort((a, b) => (known.length ? known.indexOf(a) - known.indexOf(b) : typeof a === "number" ? a - b : String(a).localeCompare(String(b))));
}

// The factors in which some networks differ; the architecture if none differ.
function varying(networks) {
  const found = FACTORS.filter((factor) => levelsOf(factor, networks).length > 1);
  return found.length ? found : ["architecture"];
}

const isNumeric = (factor, networks) => {
  const levels = levelsOf(factor, networks);
  return levels.length > LEVELS && levels.every((level) => typeof level === "number" || level === null);
};

function lookOf(factor, level, place) {
  return atlas.looks[factor]?.[level] ?? { color: PALETTE[place % PALETTE.length], symbol: "circle" };
}
