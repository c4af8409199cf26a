// The atlas's tables: a list of them, and each one to sort, search and save.
function tableView([name]) {
  if (name === undefined) return { title: "Tables", show: showTables };
  const here = atlas.tables.find((one) => one.name === name);
  if (!here) return notFound(`There is no table “${name}”.`);
  return { title: `Table ${name}`, show: (target) => showTable(target, here) };
}

function showTables(target) {
  target.append(
    element("h1", { tabindex: -1 }, "Tables"),
    element("p", { class: "lead" }, "Everything that the atlas stores in rows and columns. In Python: ", element("code", {}, 'atlas.table("networks")'), "."),
    element("dl", { class: "files" }, atlas.tables.map((one) => [
      element("dt", {}, link(`#/tables/${one.name}`, one.name), element("span", { class: "muted small" }, one.missing ? " not in this atlas" : ` ${one.n_rows.toLocaleString("en")} rows`)),
      element("dd", {}, one.about),
    ])));
}

async function showTable(target, here) {
  target.append(
    element("p", { class: "kicker" }, link("#/tables", "All tables")),
    element("h1", { tabindex: -1 }, here.name),
    element("p", { class: "lead" }, here.about));
  if (here.missing) return target.append(missing(here.missing));
  const columns = await detail(here.file);
  const names = here.columns.map(([name]) => name);
  const isShort = here.n_rows > atlas.most_rows;
  target.append(
    isShort ? missing(`The page holds the first ${atlas.most_rows.toLocaleString("en")} of ${here.n_rows.toLocaleString("en")} rows. All of them: atlas.table("${here.name}")`) : "",
    dataTable(here.name, `Table ${here.name}`, here.columns.map(([name, meaning]) => ({
      name, title: name, meaning, cell: name === "network" ? (value) => (indexOf.has(value) ? link(`#/network/${value}`, value) : value) : undefined,
    })), rowsOf(columns, names)),
    element("details", {}, element("summary", {}, "What the columns mean"), element("dl", { class: "files" }, here.columns.map(([name, meaning]) => [element("dt", {}, name), element("dd", {}, meaning)]))));
}
