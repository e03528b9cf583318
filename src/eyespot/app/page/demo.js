// The page: what is chosen, typed, run, lit up and saved.

import { drawMarks } from "./drawing.js";
import {
  asJson, fillScores, isShown, listOf, marksOf, pythonLines, sentenceOf, shellLine, ticksOf,
} from "./results.js";
import * as server from "./server.js";

const at = (id) => document.getElementById(id);
const places = { frame: at("frame"), boxes: at("boxes"), labels: at("labels"), masks: at("masks") };
const state = {
  facts: null, // of the server
  picture: null, // {blob, name, width, height, rolled}
  found: null,
  threshold: 0.5,
  pinned: null, // the phrase that stays lit
  job: null, // aborts what runs
};

// ---- what runs, one at a time; the latest wins

async function run(what, work) {
  state.job?.abort();
  const job = new AbortController();
  state.job = job;
  const begin = Date.now();
  const waits = () => (at("clock").textContent = `${Math.floor((Date.now() - begin) / 1000)} s`);
  const clock = setInterval(waits, 1000);
  at("stage").classList.add("busy");
  at("results").setAttribute("aria-busy", "true");
  complain("");
  say(`${what}...`);
  try {
    await work(job.signal);
  } catch (error) {
    if (job.signal.aborted) return;
    if (!(error instanceof server.Refused)) throw error;
    say("");
    complain(error.message);
  } finally {
    clearInterval(clock);
    if (state.job === job) {
      at("clock").textContent = "";
      at("stage").classList.remove("busy");
      at("results").removeAttribute("aria-busy");
    }
  }
}

function say(sentence) {
  at("status").textContent = sentence;
}

function complain(sentence) {
  at("error").textContent = sentence;
  at("error").hidden = !sentence;
}

// ---- the picture

async function showPicture(picture) {
  clearResults();
  const image = at("picture");
  URL.revokeObjectURL(image.src);
  state.picture = picture;
  image.src = URL.createObjectURL(picture.blob);
  image.alt = `The picture ${picture.name}`;
  places.frame.style.setProperty("--aspect", picture.width / picture.height);
  places.frame.hidden = false;
  at("empty").hidden = true;
  at("stage").classList.remove("bare");
  at("about-picture").textContent = `${picture.name}, ${picture.width} × ${picture.height}`;
  at("save").hidden = !picture.rolled;
  at("save").href = image.src;
  at("save").download = picture.name;
  const seen = await image.decode().then(() => true, () => false);
  image.classList.toggle("unseen", !seen);
  const unfamiliar = state.facts.knows_scenes_alone && !picture.rolled;
  tell(
    !seen ? "This browser cannot show the file; Eyespot reads it all the same." :
    unfamiliar ? `The weights ${state.facts.weights} know rendered shapes alone; for photographs, `
      + "start the demo with --weights and a network that was trained on them." : "",
  );
}

function tell(note) {
  at("note").textContent = note;
  at("note").hidden = !note;
}

function clearPicture() {
  clearResults();
  state.picture = null;
  places.frame.hidden = true;
  at("empty").hidden = false;
  at("stage").classList.add("bare");
  at("about-picture").textContent = "";
  at("save").hidden = true;
  tell("");
}

function takeFile(file) {
  const name = file.name || "picture.png";
  return run(`Reading ${name}`, async (signal) => {
    clearPicture();
    const most = state.facts.max_bytes;
    if (file.size > most) {
      throw new server.Refused(`${name}: need a file of at most ${most >> 20} MiB, got ${(file.size / 2 ** 20).toFixed(1)} MiB`);
    }
    const size = await server.readPicture(file, signal).catch((error) => {
      if (error instanceof server.Refused) error.message = `${name}: ${error.message}`;
      throw error;
    });
    await showPicture({ blob: file, name, width: size.width_px, height: size.height_px });
    say("The picture is read; type what to find in it.");
    at("text").select();
    at("text").focus();
  });
}

async function rollScene(seed, text) {
  await run("Rolling a scene", async (signal) => {
    const scene = await server.scene(seed, signal);
    const bitmap = await createImageBitmap(scene.blob);
    await showPicture({
      blob: scene.blob, name: `scene-${seed}.png`, width: bitmap.width, height: bitmap.height, rolled: true,
    });
    at("text").value = text ?? scene.text;
    await look(signal);
  });
}

// ---- the text, and what was found

function find() {
  return run("Looking", async (signal) => {
    if (!state.picture) throw new server.Refused("Choose a picture first, or roll a scene.");
    await look(signal);
  });
}

async function look(signal) {
  clearResults();
  const text = at("text").value.toWellFormed();
  if (!text.trim()) throw new server.Refused("Type what to find in the picture.");
  state.found = await server.ground(state.picture.blob, text, signal);
  showFound();
}

function clearResults() {
  state.found = null;
  light((state.pinned = null));
  at("results").hidden = true;
  for (const layer of [places.boxes, places.labels, places.masks]) layer.replaceChildren();
}

function showFound() {
  const { found } = state;
  at("sentence").replaceChildren(...sentenceOf(found, palette));
  at("phrases").replaceChildren(...listOf(found, palette));
  at("ticks").replaceChildren(...ticksOf(found, state.facts.least_score, palette));
  at("results").hidden = false;
  showThreshold();
  say(`${summary()}; ${found.seconds.toFixed(2)} s`);
}

function showThreshold() {
  const { found, threshold } = state;
  const least = state.facts.least_score;
  at("threshold-value").textContent = threshold.toFixed(2);
  at("threshold").style.setProperty("--at", `${(100 * (threshold - least)) / (1 - least)}%`);
  if (!found) return;
  drawFound();
  fillScores(at("phrases"), found, threshold);
  for (const tick of at("ticks").children) {
    tick.classList.toggle("under", !isShown(Number(tick.dataset.score), threshold));
  }
  for (const mark of at("sentence").querySelectorAll("mark")) {
    const scores = found.phrases[mark.dataset.phrase].exact_scores;
    mark.classList.toggle("none", !scores.some((score) => isShown(score, threshold)));
  }
  const weights = state.facts.knows_scenes_alone ? "" : state.facts.weights;
  const words = [state.picture.name, found.text, threshold, weights];
  at("code-name").textContent = state.picture.name;
  at("shell").textContent = shellLine(...words);
  at("python").textContent = pythonLines(...words);
}

function drawFound() {
  const marks = marksOf(state.found, state.threshold, palette);
  const size = { width: state.found.width_px, height: state.found.height_px };
  drawMarks(marks, size, places, at("with-masks").checked);
  light(state.pinned);
}

function summary() {
  const { found, threshold } = state;
  const counts = found.phrases.map((p) => p.exact_scores.filter((s) => isShown(s, threshold)).length);
  const boxes = counts.reduce((sum, count) => sum + count, 0);
  const missing = counts.filter((count) => !count).length;
  const several = (count, word) => `${count} ${word}${count === 1 ? "" : word.endsWith("x") ? "es" : "s"}`;
  return `${several(counts.length, "phrase")}, ${several(boxes, "box")}`
    + (missing ? `, ${missing} not found` : "");
}

function palette(place) {
  const colour = state.facts.palette[place % state.facts.palette.length];
  const [red, green, blue] = [1, 3, 5].map((i) => (parseInt(colour.slice(i, i + 2), 16) / 255) ** 2.2);
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return { colour, ink: 1.05 / (luminance + 0.05) > 4.2 ? "#fff" : "#000" };
}

// ---- a phrase lights up wherever it is

function light(phrase) {
  document.body.classList.toggle("dim", phrase !== null);
  for (const element of document.querySelectorAll("[data-phrase]")) {
    element.classList.toggle("lit", element.dataset.phrase === String(phrase));
  }
}

function pin(phrase) {
  state.pinned = state.pinned === phrase ? null : phrase;
  for (const button of at("phrases").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.phrase === state.pinned));
  }
  light(state.pinned);
}

const phraseOf = (event) => event.target.closest?.("[data-phrase]")?.dataset.phrase ?? null;
for (const kind of ["pointerover", "focusin"]) {
  document.addEventListener(kind, (event) => light(phraseOf(event) ?? state.pinned));
}
document.documentElement.addEventListener("pointerleave", () => light(state.pinned));
document.addEventListener("click", (event) => {
  const phrase = phraseOf(event);
  if (phrase !== null) pin(phrase);
});

// ---- what people do

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  find();
});
at("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  find();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && state.pinned !== null) pin(state.pinned);
});
at("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) takeFile(file);
});
at("roll").addEventListener("click", () => rollScene(Math.floor(Math.random() * 1e6)));

let settled;
at("threshold").addEventListener("input", (event) => {
  state.threshold = Number(event.target.value);
  showThreshold();
  clearTimeout(settled);
  settled = setTimeout(() => state.found && say(summary()), 400);
});
at("with-masks").addEventListener("change", () => {
  if (state.found) drawFound();
});
new ResizeObserver(() => {
  if (state.found) drawFound();
}).observe(places.frame);

document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (!file) return;
  event.preventDefault();
  takeFile(file);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    at("stage").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) takeFile(event.dataTransfer.files[0]);
  });
}

at("download").addEventListener("click", () => {
  const { name } = state.picture;
  const content = JSON.stringify(asJson(state.found, state.threshold, name), null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  link.download = `${name.replace(/\.[^.]*$/, "")}.grounded.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
});
for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", async () => {
    const copied = await copy(at(button.dataset.copies));
    button.textContent = copied ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

// The clipboard is there on this machine and over https alone; elsewhere the text gets selected.
async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return false;
  }
}

at("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const scheme = getComputedStyle(root).colorScheme;
  const dark = scheme === "dark" || (scheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.style.colorScheme = dark ? "light" : "dark";
});

// ---- the beginning

function exampleOf({ seed, text }) {
  const image = document.createElement("img");
  image.src = `api/scenes/${seed}.png?side=160`;
  image.alt = "";
  const button = document.createElement("button");
  button.type = "button";
  button.append(image, text);
  button.addEventListener("click", () => {
    at("stage").scrollIntoView({ block: "nearest" });
    rollScene(seed, text);
  });
  const item = document.createElement("li");
  item.append(button);
  return item;
}

async function begin() {
  await run("Starting", async () => {
    state.facts = await server.about();
  });
  if (!state.facts) return;
  const { facts } = state;
  at("weights").textContent = `weights ${facts.weights}`;
  at("text").maxLength = facts.max_text;
  at("threshold").min = facts.least_score;
  at("threshold").value = state.threshold;
  at("masks-choice").hidden = !facts.has_masks;
  showThreshold();
  at("examples").replaceChildren(...facts.examples.map(exampleOf));
  const [first] = facts.examples;
  await rollScene(first.seed, first.text);
}

begin();
