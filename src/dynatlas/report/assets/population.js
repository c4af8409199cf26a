// The networks: their values, their looks on plots, and the factors in which they differ.
const population = atlas.networks;
const indexOf = new Map(population.network.map((network, index) => [network, index]));
const FACTORS = [...new Set([...atlas.factors, "seed", "optimizer", "learning_rate", "iterations", "mse", "r2"])];
const LEVELS = 12; // a factor with more levels than this is coloured as a number
// Plotly has fewer in three dimensions.
const SYMBOLS_3D = { "triangle-up": "cross", star: "x", "triangle-down": "x", cross: "circle-open", x: "square-open", pentagon: "diamond-open", hexagon: "circle", "triangle-left": "square" };
const LOOKS = new Map(Object.entries(atlas.looks).map(([factor, looks]) => [factor, new Map(looks)])); // factor → level → look

const valueOf = (network, factor) => population[factor][indexOf.get(network)];
const nameOf = (network) => (indexOf.has(network) ? valueOf(network, "name") : network);
const labelOf = (factor, level) => LOOKS.get(factor)?.get(level)?.label ?? shown(level);
const titleOf = (factor, level) => LOOKS.get(factor)?.get(level)?.title ?? shown(level);
const factorName = (factor) => ({ l2: "L2 penalty", mse: "error (MSE)", r2: "R²" })[factor] ?? factor.replaceAll("_", " ");
const kindOf = (network) => atlas.named.factors.map((factor) => titleOf(factor, valueOf(network, factor))).join(atlas.named.between);
// A line for each further factor of a network, whose name abbreviates them; without those that are said elsewhere.
const furtherOf = (network, said) => atlas.further.filter((factor) => factor !== said).map((factor) => `${factorName(factor)}: ${labelOf(factor, valueOf(network, factor))}`);

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
  const known = [...(LOOKS.get(factor)?.keys() ?? [])];
  return found.sort((a, b) => (known.length ? known.indexOf(a) - known.indexOf(b) : typeof a === "number" ? a - b : String(a).localeCompare(String(b))));
}

// The factors in which some networks differ; the first that the page shows if none differ.
function varying(networks) {
  const found = FACTORS.filter((factor) => levelsOf(factor, networks).length > 1);
  return found.length ? found : [atlas.shown[0]];
}

const isNumeric = (factor, networks) => {
  const levels = levelsOf(factor, networks);
  return levels.length > LEVELS && levels.every((level) => typeof level === "number" || level === null);
};

function lookOf(factor, level, place) {
  return LOOKS.get(factor)?.get(level) ?? { color: atlas.palette[place % atlas.palette.length], symbol: "circle" };
}
