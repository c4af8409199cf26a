// The colours of plots: the reader's light or dark mode on the screen, always light in a file for print.
const dark = matchMedia("(prefers-color-scheme: dark)");
const PRINTED = { ink: "#1b1f23", muted: "#626a73", faint: "#b4bcc4", line: "#dfe3e8", surface: "#ffffff", raised: "#f5f7f9" };

function colorsNow() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(Object.keys(PRINTED).map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

// A colour that begins with "@" is the theme's; everything else is copied, since plotly writes into what it is given.
function themed(value, colors) {
  if (typeof value === "string") return value.startsWith("@") && value.slice(1) in colors ? colors[value.slice(1)] : value;
  if (Array.isArray(value)) return value.map((item) => themed(item, colors));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, themed(item, colors)]));
  }
  return value;
}

function axis(colors, given) {
  return { gridcolor: colors.line, linecolor: colors.faint, zerolinecolor: colors.line, automargin: true, ...given };
}

function axes(colors, given) {
  const names = Object.keys(given).filter((name) => /^[xy]axis\d+$/.test(name)); // of further panels
  return Object.fromEntries(["xaxis", "yaxis", ...names].map((name) => [name, axis(colors, given[name])]));
}

function scene(colors, given) {
  const of = (name) => ({
    gridcolor: colors.line, linecolor: colors.faint, color: colors.muted, showbackground: false, zeroline: false, showspikes: false, ...given[name],
  });
  return { ...given, xaxis: of("xaxis"), yaxis: of("yaxis"), zaxis: of("zaxis") };
}

function layoutOf(plot, colors) {
  const given = themed(plot.layout, colors);
  return {
    showlegend: false,
    hovermode: "closest",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colors.faint, activecolor: colors.ink },
    ...given,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colors.ink, size: 12, family: getComputedStyle(document.body).fontFamily },
    hoverlabel: { bgcolor: colors.raised, bordercolor: colors.faint, font: { color: colors.ink }, align: "left" },
    ...(given.scene
      ? { scene: scene(colors, given.scene) }
      : axes(colors, given)),
  };
}
