// Page of one network: plots, selection of a static input, and a table that can be sorted and filtered.
const data = JSON.parse(document.getElementById("atlas-data").textContent);

for (const place of document.querySelectorAll("[data-plot]")) {
  const { plot, label, shape } = place.dataset;
  place.append(new Frame(plot, label, data.plots[plot], { shape }).element);
}

for (const place of document.querySelectorAll("[data-space-plot]")) {
  const kind = place.dataset.spacePlot;
  const chooser = document.querySelector(`select[data-space="${kind}"]`);
  const chosen = () => data.spaces[kind][Number(chooser.value)];
  const frame = new Frame("state-space", place.dataset.label, chosen(), { shape: "space" });
  const show = () => {
    const { name, n_outside: count } = chosen();
    const outside = count ? ` (${count} point${count > 1 ? "s" : ""} far outside, not drawn)` : "";
    document.querySelector(`[data-space-name="${kind}"]`).textContent = name + outside;
    frame.show(chosen());
  };
  place.append(frame.element);
  chooser.addEventListener("change", show);
  show();
}

const table = document.getElementById("root-table");
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
