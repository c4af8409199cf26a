// Creates elements. Text is inserted as text: this page never parses HTML.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

const paragraph = (...children) => element("p", {}, ...children);
const link = (address, ...children) => element("a", { href: address }, ...children);
const missing = (text) => element("p", { class: "missing" }, text);

// A titled part of a view.
function section(title, ...children) {
  return element("section", {}, element("h2", {}, title), ...children);
}

// A labelled choice; `choices` are [value, text].
function select(label, choices, chosen, onchange) {
  const options = choices.map(([value, text]) => element("option", { value, selected: value === chosen }, text));
  return element("label", {}, `${label} `, element("select", { onchange: (event) => onchange(event.target.value) }, options));
}

// A choice as a row of buttons; `choices` are [value, text].
let nRadios = 0;
function radios(label, choices, chosen, onchange) {
  const name = `radios-${nRadios++}`;
  const inputs = choices.map(([value, text]) =>
    element("label", {},
      element("input", { type: "radio", name, value, checked: value === chosen, onchange: () => onchange(value) }),
      element("span", {}, text)));
  return element("fieldset", { class: "tabs" }, element("legend", {}, label), inputs);
}

// A block of code with a button to copy it.
function code(text) {
  const block = element("pre", { tabindex: 0 }, element("code", {}, text));
  return element("div", { class: "code" }, block, copyButton(block));
}

function copyButton(source) {
  const button = element("button", { type: "button" }, "Copy");
  button.addEventListener("click", () => copy(button, source));
  return button;
}

async function copy(button, source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source); // no clipboard: select the text, to be copied by hand
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

// Download a file.
function save(name, type, content) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
