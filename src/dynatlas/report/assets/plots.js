// A plot in its frame: drawn when it comes into view, drawn again when the mode changes, saved as SVG by a button.
const CONFIG = {
  responsive: true,
  displaylogo: false,
  scrollZoom: false,
  showSendToCloud: false, // the page must not contact a server
  plotlyServerURL: "",
};
const frames = new Set(); // those in the page

// Plotly interprets markup in texts: names must be escaped.
const plotText = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

class Frame {
  // `plot` is {data, layout}; `onclick` gets the customdata of the point that was clicked.
  constructor(name, label, plot, { onclick = null, shape = "" } = {}) {
    Object.assign(this, { name, plot, onclick, isSeen: false });
    this.target = element("div", { class: `plot ${shape}`, role: "img", "aria-label": label });
    this.button = element("button", { type: "button", class: "quiet", "aria-label": `Save as SVG: ${label}`, onclick: () => this.save() }, "Save as SVG");
    this.element = element("div", { class: "frame" }, this.target, element("p", { class: "under" }, this.button));
    frames.add(this);
    watcher.observe(this.target);
  }

  show(plot) {
    this.plot = plot;
    if (this.isSeen) this.draw();
  }

  async draw() {
    this.isSeen = true;
    const colors = colorsNow();
    const buttons = this.plot.layout.scene ? "resetCameraDefault3d" : "resetScale2d";
    await Plotly.react(this.target, themed(this.plot.data, colors), layoutOf(this.plot, colors), { ...CONFIG, modeBarButtons: [[buttons]] });
    this.target.dataset.drawn = "";
    if (!this.onclick || this.isListening) return;
    this.isListening = true;
    this.target.on("plotly_click", ({ points: [point] }) => {
      if (point.customdata) this.onclick(point.customdata);
    });
  }

  async save() {
    const layout = layoutOf(this.plot, PRINTED);
    if (layout.scene && this.isSeen) layout.scene.camera = this.target._fullLayout.scene._scene.getCamera();
    const data = themed(this.plot.data, PRINTED);
    const size = { width: this.target.clientWidth || 700, height: this.target.clientHeight || 500 };
    const image = await Plotly.toImage({ data, layout: { ...layout, ...size, paper_bgcolor: "white" } }, { format: "svg", ...size });
    save(`${this.name}.svg`, "image/svg+xml", decodeURIComponent(image.slice(image.indexOf(",") + 1)));
  }

  remove() {
    frames.delete(this);
    watcher.unobserve(this.target);
    if (this.isSeen) Plotly.purge(this.target); // a browser has few WebGL contexts
  }
}

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      for (const frame of frames) if (frame.target === target) frame.draw();
    }
  },
  { rootMargin: "300px" },
);
dark.addEventListener("change", () => frames.forEach((frame) => { if (frame.isSeen) frame.draw(); }));
