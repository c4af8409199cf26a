// The eigenvalues of the Jacobian at every fixed point, in the complex plane with the unit circle.
function spectrumPlot(eigenvalues, points) {
  const groups = new Map(); // number of unstable directions, or "slow" → points
  eigenvalues.real.forEach((_, point) => {
    const kind = points.is_slow[point] ? "slow" : Math.min(points.n_unstable[point], atlas.unstable.length - 1);
    groups.set(kind, [...(groups.get(kind) ?? []), point]);
  });
  const turn = Array.from({ length: 181 }, (_, step) => (2 * Math.PI * step) / 180);
  const circle = {
    type: "scatter", mode: "lines", x: turn.map(Math.cos), y: turn.map(Math.sin), hoverinfo: "skip", showlegend: false,
    line: { color: "@muted", width: 1.5 },
  };
  const clouds = [...groups.keys()].sort().map((kind) => {
    const x = [], y = [], text = [];
    for (const point of groups.get(kind)) {
      eigenvalues.real[point].forEach((real, mode) => {
        const imaginary = eigenvalues.imaginary[point][mode];
        x.push(real);
        y.push(imaginary);
        text.push(`point ${point}<br>λ = ${shown(real)} ${imaginary < 0 ? "−" : "+"} ${shown(Math.abs(imaginary))}i<br>|λ| = ${shown(Math.hypot(real, imaginary))}`);
      });
    }
    return {
      type: "scatter", mode: "markers", x, y, text, hoverinfo: "text", name: kind === "slow" ? "slow point" : lookOfPoint(kind).label,
      marker: { size: 5, opacity: 0.75, color: kind === "slow" ? "@muted" : colorOfPoint(kind), symbol: kind === "slow" ? "cross" : "circle" },
    };
  });
  return {
    data: [circle, ...clouds],
    layout: {
      margin: { l: 50, r: 10, t: 10, b: 50 }, showlegend: true, legend: { orientation: "h", y: -0.22 },
      xaxis: { title: { text: "Re λ" } }, yaxis: { title: { text: "Im λ" }, scaleanchor: "x" },
    },
  };
}

function spectrumFrame(network, details) {
  const { eigenvalues, fixed_points: points } = details;
  if (eigenvalues.missing !== undefined) return missing(eigenvalues.missing);
  if (points.missing !== undefined) return missing(points.missing || "No fixed or slow point was found in this network.");
  return [
    new Frame(`eigenvalues-${nameOf(network)}`, `Eigenvalues at the fixed points of ${nameOf(network)}, with the unit circle`, spectrumPlot(eigenvalues, points), { shape: "square" }).element,
    element("p", { class: "muted small" }, eigenvalues.n_all > atlas.most_eigenvalues ? `Of each point the ${atlas.most_eigenvalues} eigenvalues of largest modulus, of ${eigenvalues.n_all}.` : "All eigenvalues of every point."),
  ];
}
