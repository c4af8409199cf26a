// Page of recordings: plots, and the selection of a recording and a measure.
const data = JSON.parse(document.getElementById("atlas-data").textContent);

for (const place of document.querySelectorAll("[data-plot]")) {
  const { plot, label, shape } = place.dataset;
  place.append(new Frame(plot, label, data.plots[plot], { shape }).element);
}

const views = [...document.querySelectorAll("[data-choice]")];
const choosers = [...document.querySelectorAll("select[data-of]")];
function show() {
  const chosen = choosers.map((chooser) => chooser.value).join("-");
  for (const view of views) view.hidden = view.dataset.choice !== chosen;
}
for (const chooser of choosers) chooser.addEventListener("change", show);
show();
