// A table that sorts by a click on a heading, is searched, shows a page at a time, and is saved as CSV.
const ROWS_PER_PAGE = 50;

// Numbers by size, texts by alphabet, missing values last.
function compareValues(a, b) {
  if (a === null || b === null || a === undefined || b === undefined) return (a ?? null) === (b ?? null) ? 0 : (a ?? null) === null ? 1 : -1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}

// A cell after RFC 4180. An apostrophe keeps spreadsheets from running a text as a formula.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  let text = String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

const csv = (names, rows) => [names, ...rows].map((row) => row.map(csvCell).join(",") + "\r\n").join("");

// `columns` are {name, title, meaning, cell}: `cell(value, row)` may give an element; `rows` are arrays of values.
function dataTable(name, label, columns, rows) {
  const state = { sort: null, sign: 1, text: "", page: 0, rows };
  const body = element("tbody");
  const note = element("span", { class: "muted", role: "status" });
  const headings = columns.map((column, place) => {
    const button = element("button", { type: "button", title: column.meaning ?? "", onclick: () => sortBy(place) }, column.title ?? column.name);
    return element("th", { scope: "col" }, button);
  });
  const back = element("button", { type: "button", onclick: () => turn(-1) }, "Previous");
  const on = element("button", { type: "button", onclick: () => turn(1) }, "Next");

  function fill() {
    const first = state.page * ROWS_PER_PAGE;
    const page = state.rows.slice(first, first + ROWS_PER_PAGE);
    body.replaceChildren(...page.map((row) => element("tr", {}, columns.map((column, place) => {
      const value = row[place];
      return element("td", { class: typeof value === "number" ? "num" : null }, column.cell ? column.cell(value, row) : shown(value));
    }))));
    const count = state.rows.length.toLocaleString("en");
    note.textContent = state.rows.length > ROWS_PER_PAGE
      ? `Rows ${first + 1} to ${Math.min(first + ROWS_PER_PAGE, state.rows.length)} of ${count}`
      : `${count} row${state.rows.length === 1 ? "" : "s"}`;
    back.disabled = state.page === 0;
    on.disabled = first + ROWS_PER_PAGE >= state.rows.length;
    back.hidden = on.hidden = state.rows.length <= ROWS_PER_PAGE;
  }
  function apply() {
    const wanted = state.text.toLowerCase();
    state.rows = wanted ? rows.filter((row) => row.some((value) => String(value ?? "").toLowerCase().includes(wanted))) : [...rows];
    if (state.sort !== null) {
      const place = state.sort;
      const isKnown = (row) => row[place] !== null && row[place] !== undefined;
      const known = state.rows.filter(isKnown).sort((a, b) => state.sign * compareValues(a[place], b[place]));
      state.rows = [...known, ...state.rows.filter((row) => !isKnown(row))];
    }
    state.page = 0;
    fill();
  }
  function sortBy(place) {
    state.sign = state.sort === place ? -state.sign : 1;
    state.sort = place;
    headings.forEach((heading) => heading.removeAttribute("aria-sort"));
    headings[place].setAttribute("aria-sort", state.sign > 0 ? "ascending" : "descending");
    apply();
  }
  function turn(pages) {
    state.page += pages;
    fill();
  }
  const find = element("input", { type: "search", oninput: (event) => { state.text = event.target.value; apply(); } });
  const download = element("button", { type: "button", onclick: () => save(`${name}.csv`, "text/csv", csv(columns.map((column) => column.name), state.rows)) }, "Download CSV");
  fill();
  return element("div", {},
    element("p", { class: "controls" }, element("label", {}, "Search ", find), download, note),
    element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
      element("table", { class: "sortable" }, element("thead", {}, element("tr", {}, headings)), body)),
    element("p", { class: "controls" }, back, on));
}

// Columns of values → rows of values.
const rowsOf = (columns, names) => (columns[names[0]] ?? []).map((_, row) => names.map((name) => columns[name][row]));
