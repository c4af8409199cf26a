"use strict";
// Draws each plot when it comes into view, sorts the table, and follows the reader's light or dark mode.
(() => {
  const data = JSON.parse(document.getElementById("atlas-data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => {
    const style = getComputedStyle(document.documentElement);
    return Object.fromEntries(
      ["ink", "muted", "faint", "line", "surface", "raised"].map((name) => [name, style.getPropertyValue("--" + name).trim()]),
    );
  };
  // A colour that begins with "@" is the theme's; everything else is copied, since plotly writes into what it is given.
  const themed = (value, colors) => {
    if (typeof value === "string") return value.startsWith("@") && value.slice(1) in colors ? colors[value.slice(1)] : value;
    if (Array.isArray(value)) return value.map((item) => themed(item, colors));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, themed(item, colors)]));
    }
    return value;
  };
  const axis = (colors, given) => ({ gridcolor: colors.line, linecolor: colors.faint, zerolinecolor: colors.line, automargin: false, ...given });
  const scene = (colors, given) => {
    const of = (name) => ({ gridcolor: colors.line, linecolor: colors.faint, backgroundcolor: "rgba(0,0,0,0)", showbackground: false, ...given[name] });
    return { ...given, xaxis: of("xaxis"), yaxis: of("yaxis"), zaxis: of("zaxis") };
  };
  const layout = (plot, colors) => {
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
      ...(given.scene ? { scene: scene(colors, given.scene) } : { xaxis: axis(colors, given.xaxis), yaxis: axis(colors, given.yaxis) }),
    };
  };
  const draw = (element, plot) => {
    const colors = theme();
    const config = {
      responsive: true,
      displaylogo: false,
      scrollZoom: false,
      showSendToCloud: false, // the page must never reach for a server
      plotlyServerURL: "",
      modeBarButtons: [["toImage", plot.layout.scene ? "resetCameraDefault3d" : "resetScale2d"]],
      toImageButtonOptions: { format: "svg", filename: element.dataset.plot || element.dataset.spacePlot },
    };
    return Plotly.react(element, themed(plot.data, colors), layout(plot, colors), config);
  };
  const space = (kind) => data.spaces[kind][Number(document.querySelector(`select[data-space="${kind}"]`).value)];
  const plotOf = (element) => (element.dataset.plot ? data.plots[element.dataset.plot] : space(element.dataset.spacePlot));

  const name = ({ name, n_outside: count }) => (count ? `${name} (${count} point${count > 1 ? "s" : ""} far outside, not drawn)` : name);

  const drawn = new Set();
  const show = (element) => {
    drawn.add(element);
    draw(element, plotOf(element));
    const kind = element.dataset.spacePlot;
    if (kind) document.querySelector(`[data-space-name="${kind}"]`).textContent = name(space(kind));
  };
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        observer.unobserve(entry.target);
        show(entry.target);
      }
    },
    { rootMargin: "400px" },
  );
  document.querySelectorAll("[data-plot], [data-space-plot]").forEach((element) => observer.observe(element));
  dark.addEventListener("change", () => drawn.forEach(show));

  document.querySelectorAll("select[data-space]").forEach((select) => {
    select.addEventListener("change", () => show(document.querySelector(`[data-space-plot="${select.dataset.space}"]`)));
  });
  const table = document.getElementById("root-table");
  if (table) {
    const body = table.tBodies[0];
    const key = (row, column) => {
      const cell = row.cells[column];
      return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
    };
    const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
    table.querySelectorAll("thead th").forEach((heading, column, headings) => {
      heading.querySelector("button").addEventListener("click", () => {
        const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        body.append(...[...body.rows].sort((a, b) => sign * compare(key(a, column), key(b, column))));
      });
    });
    document.getElementById("root-task").addEventListener("change", (event) => {
      for (const row of body.rows) row.hidden = event.target.value !== "" && row.dataset.task !== event.target.value;
    });
  }
})();
