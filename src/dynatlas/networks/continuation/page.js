// Page of one continuation: the branches, and a selection of what is shown of the fixed points.
const { plot, heights } = JSON.parse(document.getElementById("atlas-data").textContent);
const place = document.getElementById("branches-plot");
const chooser = document.getElementById("view");

// Traces of branches and bifurcations have a height in each view; those of the index sum, which follow, have their own.
function viewed() {
  const shown = heights[chooser.value];
  const data = plot.data.map((trace, number) => (number < shown.length ? { ...trace, y: shown[number] } : trace));
  const title = { text: plotText(chooser.value) };
  return { data, layout: { ...plot.layout, yaxis: { ...plot.layout.yaxis, title } } };
}

const frame = new Frame("branches", place.dataset.label, viewed(), { shape: "map" });
place.append(frame.element);
chooser.addEventListener("change", () => frame.show(viewed()));
