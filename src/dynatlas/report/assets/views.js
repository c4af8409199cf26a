// Router: the address after “#/” selects the view, so that every view has a link.
const VIEWS = { map: mapView, network: networkView, compare: compareView, tables: tableView };
const view = document.getElementById("view");
const ready = document.getElementById("status");
let latest = 0; // number of the latest request: an earlier view that loads later must not replace it

const notFound = (text) => ({
  title: "Not found",
  show: (target) => target.append(element("h1", { tabindex: -1 }, "Not found"), missing(text), paragraph(link("#/overview", "To the overview"))),
});

async function showView(isFirst) {
  const address = location.hash.startsWith("#/") ? location.hash.slice(2) : "overview";
  const [path, search = ""] = address.split("?");
  const [kind, ...rest] = path.split("/").map(decode);
  const asked = ++latest;
  const written = [...document.querySelectorAll("[data-view]")];
  const isWritten = written.some((one) => one.dataset.view === decode(path));
  for (const frame of frames) if (view.contains(frame.target)) frame.remove();
  view.replaceChildren();
  written.forEach((one) => { one.hidden = one.dataset.view !== decode(path); });
  view.hidden = isWritten;
  markLink(kind, rest);
  let title = "";
  if (!isWritten) {
    const found = Object.hasOwn(VIEWS, kind) ? VIEWS[kind](rest.filter(Boolean), new URLSearchParams(search)) : notFound(`There is no view “${path}”.`);
    title = found.title;
    const target = element("div");
    try {
      await found.show(target);
    } catch (error) {
      target.append(missing(error.message));
    }
    if (asked !== latest) {
      for (const frame of frames) if (target.contains(frame.target)) frame.remove();
      return;
    }
    view.replaceChildren(target);
  }
  const heading = (isWritten ? written.find((one) => !one.hidden) : view).querySelector("h1");
  document.title = [title || (isFirst && !location.hash ? "" : heading?.textContent), document.querySelector(".brand").textContent, "dynatlas"].filter(Boolean).filter((text, place, all) => all.indexOf(text) === place).join(" — ");
  ready.textContent = isFirst ? "" : heading?.textContent ?? "";
  document.body.dataset.shown = path;
  if (isFirst) return;
  scrollTo(0, 0);
  document.getElementById("main").focus({ preventScroll: true });
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a malformed “%” names no view and is shown unchanged
  }
}

function markLink(kind, rest) {
  for (const one of document.querySelectorAll("header nav a")) {
    const own = one.hash.slice(2).split("/");
    const isHere = own[0] === kind && (kind !== "task" || own[1] === rest[0]);
    if (isHere) one.setAttribute("aria-current", "page"); else one.removeAttribute("aria-current");
  }
}

for (const place of document.querySelectorAll("[data-plot]")) {
  const name = place.dataset.plot;
  place.append(new Frame(name, place.dataset.label, atlas.plots[name], { onclick: (facts) => { location.hash = `#/network/${facts.at(-1)}`; } }).element);
}
document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", () => copy(button, document.getElementById(button.dataset.copy))));
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); document.getElementById("main").focus(); });
addEventListener("hashchange", () => showView(false));
showView(true);
