// Data in files beside the page. A page opened from disk cannot read files, but can run scripts: each of these
// files calls dynatlas.receive(name, value), the only global of this page.
const atlas = JSON.parse(document.getElementById("atlas-data").textContent);
const received = new Map(); // name → promise of a value
const awaited = new Map(); // name → function to call with it

window.dynatlas = Object.freeze({
  receive(name, value) {
    awaited.get(name)?.(value);
    awaited.delete(name);
  },
});

function detail(name) {
  if (!received.has(name)) {
    received.set(name, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const fail = () => {
        received.delete(name); // the reader can add the file and try again
        reject(new Error(`The file detail/${name}.js is not beside this page, or is damaged. Keep the folder “report” together; “dynatlas report” rewrites it.`));
      };
      awaited.set(name, resolve);
      script.onerror = fail;
      script.onload = () => { if (awaited.has(name)) fail(); script.remove(); };
      script.src = `detail/${encodeURIComponent(name)}.js`;
      document.head.append(script);
    }));
  }
  return received.get(name);
}
