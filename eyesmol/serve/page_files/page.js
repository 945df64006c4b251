// The page of `eyesmol serve`: sends files to the REST API, lists what was read, lets it be corrected.
import { TEXTS, message } from "./texts.js";

const AT_A_TIME = 3; // files that are sent
const LONGEST_PHOTO = 2400; // pixels; a camera's megapixels show no more of a drawing on paper
const EVEN = 0.5; // a reading below it is shown as one to compare
const ENDINGS = /\.(png|jpe?g|tiff?|bmp|gif|webp|pdf|zip)$/i;
const EXAMPLE = "CC(=O)Oc1ccccc1C(=O)O";

const $ = (id) => document.getElementById(id);
let language = "en";
let model = null; // of /api/model
let items = []; // one an image or structure: {file, name, row, edited}
let chosen = null;
let sort = null; // {by, up}
let stop = new AbortController();
let queue = { files: [], done: 0, all: 0, running: 0 };

// ---- words ----

function text(name, values = {}) {
  return TEXTS[language][name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

function speak(wanted) {
  language = wanted;
  document.documentElement.lang = wanted;
  for (const node of document.querySelectorAll("[data-text]"))
    node.textContent = text(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]"))
    node.setAttribute("aria-label", text(node.dataset.label));
  for (const list of document.querySelectorAll("[data-list]"))
    list.replaceChildren(
      ...TEXTS[language][list.dataset.list].map((line) => element("li", {}, line)),
    );
  for (const button of document.querySelectorAll("[data-copy]")) button.textContent = text("copy");
  for (const button of document.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", button.dataset.language === wanted);
  if (model) describeModel();
  render();
}

function describeModel() {
  const { max_megabytes: megabytes, max_pages: pages } = model;
  $("limits").textContent = text("limits", { megabytes, pages });
  $("model").textContent = text("model", model);
}

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// ---- files in ----

async function give(files) {
  files = [...files].filter((file) => file.type.startsWith("image/") || ENDINGS.test(file.name));
  if (!files.length) return say(text("no_files"));
  if (!queue.running) {
    queue = { files: [], done: 0, all: 0, running: 0 };
    stop = new AbortController();
  }
  queue.files.push(...files);
  queue.all += files.length;
  while (queue.running < AT_A_TIME && queue.files.length) work();
  tell();
}

async function work() {
  queue.running += 1;
  const signal = stop.signal;
  while (queue.files.length && !signal.aborted) {
    const file = queue.files.shift();
    await read(file, signal);
    if (!signal.aborted) queue.done += 1;
    tell();
  }
  queue.running -= 1;
  tell();
}

function tell() {
  $("stop").hidden = !queue.running;
  if (queue.running) say(text("opening", queue));
  else if (stop.signal.aborted) say(text("stopped", queue));
  else say("");
}

function say(words) {
  $("said").textContent = words;
}

async function read(file, signal, anyway = $("any").checked) {
  const name = file.webkitRelativePath || file.path || file.name;
  const sent = [...file.name].slice(-100).join(""); // what the server keeps of a name
  let found = 0; // structures on pages
  try {
    for await (const row of rowsOf(await smaller(file), sent, signal, anyway)) {
      // Who took one image to be read wants it read, whatever it looks like: photos are refused at
      // first sight by some readers.
      if (refused(row) && !anyway && row.image === sent)
        return await read(file, signal, true);
      const place = row.box ? ` p.${row.page} (${(found += 1)})` : row.image.slice(sent.length);
      add({ file, name: name + place, row, edited: null });
    }
  } catch (error) {
    if (signal.aborted) return;
    const words = error instanceof TypeError ? text("gone") : error.message;
    add({ file, name, row: { image: name, error: words, problems: [] }, edited: null });
  }
}

// An image that was not read at all, since it shows no drawing at first sight.
const refused = (row) => !row.error && !row.smiles && !row.withheld_smiles && !row.atoms;

async function* rowsOf(file, name, signal, anyway) {
  const form = new FormData();
  form.append("files", file, name);
  form.append("details", "true");
  form.append("stream", "true");
  form.append("any_picture", anyway);
  if ($("pages").value) form.append("pages", $("pages").value);
  const answer = await patiently(form, signal);
  if (!answer.ok) throw new Error((await answer.json()).error);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

async function patiently(form, signal) {
  for (;;) {
    const answer = await fetch("api/recognize", { method: "POST", body: form, signal });
    if (answer.status !== 503) return answer;
    say(text("busy"));
    await new Promise((wake) => setTimeout(wake, 2000));
    signal.throwIfAborted();
  }
}

// A camera's photo in a size that shows the drawing; other files as they are.
async function smaller(file) {
  if (file.type !== "image/jpeg" || file.size < 1_000_000) return file;
  try {
    const photo = await createImageBitmap(file);
    const scale = LONGEST_PHOTO / Math.max(photo.width, photo.height);
    if (scale >= 1) return file;
    const canvas = element("canvas");
    canvas.width = Math.round(photo.width * scale);
    canvas.height = Math.round(photo.height * scale);
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(photo, 0, 0, canvas.width, canvas.height);
    return await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  } catch {
    return file; // the server will say what is wrong with it
  }
}

async function filesIn(entry) {
  if (entry.isFile) {
    const file = await new Promise((found, failed) => entry.file(found, failed));
    file.path = entry.fullPath.replace(/^\//, "");
    return [file];
  }
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    const some = await new Promise((found, failed) => reader.readEntries(found, failed));
    if (!some.length) return files;
    for (const one of some) files.push(...(await filesIn(one)));
  }
}

async function dropped(event) {
  event.preventDefault();
  $("give").classList.remove("over");
  const entries = [...event.dataTransfer.items]
    .map((item) => item.webkitGetAsEntry?.())
    .filter(Boolean);
  if (!entries.length) return give(event.dataTransfer.files);
  give((await Promise.all(entries.map(filesIn))).flat());
}

function pasted(event) {
  const files = [...event.clipboardData.files];
  if (!files.length) return; // text, which belongs to the field that has the cursor
  event.preventDefault();
  give(files);
}

async function example() {
  const { drawing } = await structure(EXAMPLE);
  const image = element("img", { src: drawing });
  await image.decode();
  const canvas = element("canvas", { width: 840, height: 600 });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "white";
  pen.fillRect(0, 0, 840, 600);
  pen.drawImage(image, 0, 0, 840, 600);
  canvas.toBlob((blob) => give([new File([blob], "example.png", { type: "image/png" })]));
}

// ---- what was read ----

function add(item) {
  if (!items.length) $("about").open = false; // it was read, or is in the way now
  items.push(item);
  chosen ??= item;
  render.soon();
}

function kind(item) {
  const { row, edited } = item;
  if (edited) return "edited";
  if (row.error) return "broken";
  if (row.withheld_smiles) return "unsure";
  if (!row.smiles) return row.atoms?.length ? "check" : "none";
  return row.problems.length || (row.confidence ?? 0) < EVEN ? "check" : "read";
}

// What is shown, copied and saved of an item: what was read, or what somebody made of it.
function formsOf({ row, edited }) {
  return {
    smiles: edited?.smiles ?? row.smiles ?? "",
    cxsmiles: edited?.cxsmiles ?? row.cxsmiles ?? "",
    inchi: (edited ? edited.inchi : row.inchi) ?? "",
    block: edited?.molfile ?? row.molblock ?? "",
    drawing: edited?.drawing ?? row.drawing,
    confidence: edited || !row.smiles ? null : (row.confidence ?? null),
  };
}

function note(item) {
  const { row } = item;
  if (item.edited) return "";
  const said = [row.error ?? row.reason ?? "", ...row.problems.slice(0, 2)];
  return said.filter(Boolean).map((words) => message(words, language)).join("; ");
}

// Percent where it is a probability; a score that only ranks must not look like one.
function shown(confidence) {
  if (confidence === null) return "";
  if (!model?.calibrated) return confidence.toFixed(2);
  return confidence > 0 && confidence < 0.01 ? "< 1 %" : `${Math.round(confidence * 100)} %`;
}

function sorted() {
  if (!sort) return items;
  const key = {
    name: (item) => item.name,
    confidence: (item) => formsOf(item).confidence ?? -1,
  }[sort.by];
  const compare = (a, b) =>
    sort.by === "name" ? key(a).localeCompare(key(b), undefined, { numeric: true }) : key(a) - key(b);
  return [...items].sort((a, b) => (sort.up ? 1 : -1) * compare(a, b));
}

function render() {
  $("list").hidden = items.length < 2;
  $("detail").hidden = !chosen;
  const counts = new Map();
  for (const item of items) counts.set(kind(item), (counts.get(kind(item)) ?? 0) + 1);
  $("counts").textContent =
    text("images", { n: items.length }) +
    [...counts]
      .map(([which, n]) => text("count", { n, name: TEXTS[language].counts[which] }))
      .join(", ");
  for (const button of document.querySelectorAll("[data-sort]")) {
    const by = button.dataset.sort;
    const way = sort?.by !== by ? "none" : sort.up ? "ascending" : "descending";
    button.closest("th").setAttribute("aria-sort", way);
    button.textContent = text(`sort_${by}`);
  }
  $("rows").replaceChildren(...sorted().map(rowOf));
  if (chosen) showDetail();
}

// At most a few times a second, however fast the rows come; the first at once.
render.soon = () => {
  if (items.length === 1) return render();
  render.timer ??= setTimeout(() => {
    render.timer = null;
    render();
  }, 300);
};

function rowOf(item) {
  const { smiles, drawing, confidence } = formsOf(item);
  const image = item.row.overlay ? element("img", { src: item.row.overlay, alt: "" }) : "";
  const drawn = drawing ? element("img", { src: drawing, alt: smiles }) : "";
  const name = element("button", { type: "button", className: "name", onclick: () => choose(item) }, item.name);
  const more = element("span", { className: "quiet" }, smiles || note(item));
  const sure = element("td", { className: "sure" }, element("span", { className: "dot" }), shown(confidence));
  sure.title = TEXTS[language].counts[kind(item)];
  const row = element(
    "tr",
    { className: kind(item) },
    element("td", { className: "thumb" }, image),
    element("td", { className: "thumb" }, drawn),
    element("td", { className: "what" }, name, more),
    sure,
  );
  row.setAttribute("aria-selected", item === chosen);
  row.onclick = (event) => event.target === name || choose(item);
  return row;
}

function choose(item, scroll = true) {
  chosen = item;
  typing = null;
  render();
  if (scroll) $("detail").scrollIntoView({ block: "start", behavior: "smooth" });
}

// Up and down go through the rows; the cursor stays on the name.
function walked(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = sorted();
  const next = all[all.indexOf(chosen) + step];
  if (!next) return;
  choose(next, false);
  const name = $("rows").children[all.indexOf(next)].querySelector("button");
  name.focus();
  name.scrollIntoView({ block: "nearest" });
}

function showDetail() {
  const { row } = chosen;
  const which = kind(chosen);
  const title = which === "check" && !row.smiles ? "impossible" : which;
  const forms = formsOf(chosen);
  $("detail").className = which;
  $("title").textContent = text(title);
  $("name").textContent = chosen.name;
  $("words").textContent =
    which === "broken"
      ? message(row.error, language)
      : which === "none"
        ? `${message(row.reason, language)}. ${text("none_words")}`
        : text(`${title}_words`, { smiles: row.withheld_smiles });
  $("confidence").hidden = forms.confidence === null;
  const [meter, sure, says] = $("confidence").children;
  meter.firstElementChild.style.width = `${100 * (forms.confidence ?? 0)}%`;
  sure.textContent = shown(forms.confidence);
  says.textContent = text(model?.calibrated ? "probability" : "score");
  $("anyway").hidden = !refused(row) || !!chosen.edited || !(chosen.file instanceof File);
  const problems = chosen.edited ? [] : row.problems;
  $("problems").replaceChildren(
    ...problems.map((words) => element("li", {}, message(words, language))),
  );
  picture($("overlay"), row.overlay, text("overlay_title"));
  $("legend").hidden = !row.atoms?.length;
  picture($("drawing"), forms.drawing, forms.smiles);
  for (const name of ["cxsmiles", "inchi", "block"]) $(name).value = forms[name];
  if (typing !== chosen) {
    const words = chosen.edited?.typed ?? forms.smiles;
    if ($("smiles").value !== words) $("smiles").value = words; // else the cursor would jump
    $("refused").hidden = true;
    $("smiles").removeAttribute("aria-invalid");
  }
  $("undo").hidden = !chosen.edited;
  $("molfile").disabled = !forms.block;
  $("edit").hidden = !model?.editor;
  $("no-editor").hidden = !model || model.editor;
}

function picture(place, source, alt) {
  place.replaceChildren(source ? element("img", { src: source, alt }) : text("nothing"));
}

// ---- corrections ----

async function structure(words) {
  const answer = await fetch("api/structure", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ structure: words }),
  });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

// Whose SMILES is being typed and is none yet; only the latest of what somebody types counts.
let typing = null;
let typed = 0;
async function retyped() {
  const item = (typing = chosen);
  const words = $("smiles").value.trim();
  const mine = ++typed;
  await new Promise((wake) => setTimeout(wake, 250));
  if (mine !== typed || item !== chosen) return;
  if (words === (item.row.smiles ?? "")) return correct(item, null);
  try {
    const found = await structure(words);
    if (mine === typed) correct(item, { ...found, typed: words });
  } catch (error) {
    if (mine !== typed || item !== chosen) return;
    $("refused").textContent = message(error.message, language);
    $("refused").hidden = false;
    $("smiles").setAttribute("aria-invalid", "true");
  }
}

function correct(item, edited) {
  typing = null;
  item.edited = edited;
  render();
}

async function openEditor() {
  const frame = $("editor").querySelector("iframe");
  $("editor-said").textContent = text("editor_starts");
  $("editor").showModal();
  try {
    const ketcher = await started(frame);
    // The drawn places, so that it can be compared with the image.
    const { block, smiles } = formsOf(chosen);
    await ketcher.setMolecule(block || smiles);
    $("editor-said").textContent = "";
  } catch {
    $("editor-said").textContent = text("editor_fails");
  }
}

// Ketcher, once it is there; it stays for the next structure.
function started(frame) {
  if (frame.contentWindow?.ketcher) return frame.contentWindow.ketcher;
  return new Promise((found, failed) => {
    setTimeout(failed, 300_000); // a slow phone needs a while
    frame.onload = () => {
      const inside = frame.contentWindow;
      if (inside.ketcher) return found(inside.ketcher);
      inside.addEventListener("ketcher", () => found(inside.ketcher));
    };
    frame.src = "ketcher/index.html";
  });
}

async function takeDrawn() {
  const item = chosen;
  const ketcher = $("editor").querySelector("iframe").contentWindow.ketcher;
  if (!ketcher) return;
  try {
    const drawn = await structure(await ketcher.getMolfile());
    // What was opened and left as it was keeps its confidence.
    correct(item, drawn.smiles === item.row.smiles ? null : drawn);
    $("editor").close();
  } catch (error) {
    $("editor-said").textContent = message(error.message, language);
  }
}

// ---- copies and files out ----

async function copy(event) {
  const button = event.target;
  const field = $(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    field.select(); // without TLS, beyond this machine, browsers have only the old way
    document.execCommand("copy");
  }
  button.textContent = text("copied");
  setTimeout(() => (button.textContent = text("copy")), 1500);
}

const COLUMNS = ["image", "smiles", "cxsmiles", "inchi", "confidence", "corrected", "note"];

function saved(item) {
  const { smiles, cxsmiles, inchi, confidence } = formsOf(item);
  const words = item.edited ? "" : [item.row.error ?? item.row.reason, ...item.row.problems].filter(Boolean).join("; ");
  return { image: item.name, smiles, cxsmiles, inchi, confidence: confidence ?? "", corrected: item.edited ? "yes" : "", note: words };
}

function asCsv() {
  const field = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
  const lines = sorted().map((item) => Object.values(saved(item)).map(field).join(","));
  return [COLUMNS.join(","), ...lines, ""].join("\n");
}

// One record an image, as `eyesmol recognize` writes it; one without a structure has no atoms.
function asSdf() {
  const oneLine = (value) => String(value).replace(/\s+/g, " ").replace(/^(?=\$\$\$\$|>)/, " ");
  const empty = "\n\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n";
  return sorted()
    .map((item) => {
      const block = formsOf(item).block || empty;
      const fields = Object.entries(saved(item))
        .filter(([, value]) => value !== "")
        .map(([name, value]) => `>  <${name}>\n${oneLine(value)}\n\n`);
      const rest = block.slice(block.indexOf("\n")).trimEnd();
      return `${oneLine(item.name).slice(0, 80)}${rest}\n${fields.join("")}$$$$\n`;
    })
    .join("");
}

function download(name, content, type) {
  const link = element("a", { download: name, href: URL.createObjectURL(new Blob([content], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function downloadMolfile() {
  const name = chosen.name.replace(/\.\w+$/, "").replace(/[^\p{L}\p{N}.-]+/gu, "_");
  download(`${name}.mol`, formsOf(chosen).block, "chemical/x-mdl-molfile");
}

// ---- start ----

function chooseWith(input) {
  return () => {
    input.value = "";
    input.click();
  };
}

function listen() {
  $("choose").onclick = chooseWith($("files"));
  $("choose-folder").onclick = chooseWith($("folder"));
  $("shoot").onclick = chooseWith($("camera"));
  for (const input of [$("files"), $("folder"), $("camera")])
    input.onchange = () => give(input.files);
  $("example").onclick = example;
  document.addEventListener("paste", pasted);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    $("give").classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) $("give").classList.remove("over");
  });
  document.addEventListener("drop", dropped);
  $("stop").onclick = () => {
    stop.abort();
    queue.files = [];
  };
  $("clear").onclick = () => {
    items = [];
    chosen = null;
    render();
  };
  $("csv").onclick = () => download("molecules.csv", "\ufeff" + asCsv(), "text/csv");
  $("sdf").onclick = () => download("molecules.sdf", asSdf(), "chemical/x-mdl-sdfile");
  $("molfile").onclick = downloadMolfile;
  $("rows").onkeydown = walked;
  for (const button of document.querySelectorAll("[data-sort]"))
    button.onclick = () => {
      const by = button.dataset.sort;
      sort = { by, up: sort?.by === by ? !sort.up : true };
      render();
    };
  $("anyway").onclick = () => {
    const { file } = chosen;
    items = items.filter((item) => item.file !== file);
    chosen = null;
    read(file, new AbortController().signal, true);
  };
  $("smiles").oninput = retyped;
  $("undo").onclick = () => correct(chosen, null);
  $("edit").onclick = openEditor;
  $("take").onclick = takeDrawn;
  $("leave").onclick = () => $("editor").close();
  for (const button of document.querySelectorAll("[data-copy]")) button.onclick = copy;
  for (const button of document.querySelectorAll("[data-language]"))
    button.onclick = () => {
      localStorage.setItem("language", button.dataset.language);
      speak(button.dataset.language);
    };
}

async function start() {
  listen();
  const wanted = localStorage.getItem("language") ?? navigator.language.slice(0, 2);
  speak(wanted in TEXTS ? wanted : "en");
  model = await (await fetch("api/model")).json();
  speak(language);
}

start();
