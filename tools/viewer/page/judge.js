// The worst views as a list, and tags.
import { $, entry, index, json, make, options, post, problem } from "./server.js";
import { on, set, state } from "./state.js";
import { besides, pictureUrl } from "./compare.js";

let rows = [], at = -1, reason = "", tags = {}, severity = 2, own = [], fallback = null, sending = Promise.resolve();
const ids = () => state.over === "all" ? index.entries.filter(e => e.kind === "run").map(e => e.id) : [state.run, ...besides()].filter(Boolean);
const nameOf = id => index.entries.find(e => e.id === id)?.name ?? id;
export const tagsHere = (id = state.run) => (tags[id] || []).filter(tag => tag.camera === state.camera && tag.frame === state.frame);
export const tagsOf = id => tags[id] || [];

async function refill() {
  // A capture has no numbers of its own; beside it there may be runs.
  const runs = ids().filter(id => index.entries.find(e => e.id === id)?.kind === "run");
  const shown = await entry(state.run), run = shown.kind === "session" && runs.length ? await entry(runs[0]) : shown;
  const metrics = Object.entries(run.metrics).map(([name, m]) => [name, `${m.label}${m.unit ? ", " + m.unit : ""}`]);
  if (run.stages.includes("fit")) metrics.push(["trust", "trust in the landmarks"]);
  options($("metric"), metrics.length ? metrics : [["", "nothing was scored"]], state.metric);
  if ($("metric").value !== state.metric) state.metric = $("metric").value;
  const byRegion = run.stages.includes("fit") && (["reprojection_px", "trust"].includes(state.metric) || (state.metric === "psnr_fg" && run.pictured.length));
  options($("region"), [["", "all of the person"], ...(byRegion ? index.regions.map(r => [r, r]) : [])], state.region);
  state.region = $("region").value;
  options($("filter"), [["", "all"], ...run.cameras.map(c => [c.name, c.name])], state.filter);
  state.filter = $("filter").value;
  $("over").value = state.over;
  reason = runs.length ? "No numbers to sort by." : `Nothing to sort: ${shown.missing.render}. “simulacra reconstruct ${shown.name} --out RUN” makes a run, whose views are listed here.`;
  for (const name of ["metric", "region", "filter"]) $(name).disabled = !runs.length;
  $("judge-bar").hidden = !index.entries.some(e => e.kind === "run");
  const wanted = state.over === "all" ? index.entries.map(e => e.id) : ids();
  const words = new URLSearchParams({ ids: ids().join(), metric: state.metric, region: state.region, camera: state.filter, most: 300 });
  [rows, tags] = await Promise.all([
    state.metric ? json(`/api/worst?${words}`).then(r => r.rows, () => []) : [],
    json(`/api/tags?ids=${[...new Set([...wanted, state.run])].join()}`).catch(() => ({})),
  ]);
  locate();
  drawRows();
  drawTags();
  document.body.dataset.rows = rows.length;
  if (fallback) { if (rows.length) choose(0); else set(fallback); fallback = null; }
}

function locate() {
  if (rows[at] && rows[at].id === state.run && rows[at].camera === state.camera && rows[at].frame === state.frame) return;
  at = rows.findIndex(row => row.id === state.run && row.camera === state.camera && row.frame === state.frame);
}

// Small pictures of the rows that are in sight, two at a time: what is looked at, and tags, go before them.
const seen = new IntersectionObserver(found => {
  for (const { target, isIntersecting } of found) if (isIntersecting) { seen.unobserve(target); waiting.push(target); }
  paint(); paint();
}, { root: null });
const waiting = [];
let painting = 0;
async function paint() {
  while (painting < 2 && waiting.length) {
    painting++;
    const image = waiting.shift(), { row } = image;
    try {
      const run = await entry(row.id), there = run.pictured.some(([c, f]) => c === row.camera && f === row.frame);
      if (image.isConnected && (there || run.session)) {
        image.src = pictureUrl(run, there ? "render" : "photo", row.camera, row.frame, { side: 96 });
        await image.decode();
      }
    } catch { /* a row without a picture */ }
    painting--;
  }
}

function drawRows() {
  waiting.length = 0;
  const several = new Set(rows.map(row => row.id)).size > 1;
  $("rows").replaceChildren(...rows.map((row, place) => {
    const image = make("img", { alt: "", width: 54, height: 54 });
    image.row = row;
    if (row.camera) seen.observe(image);
    const marked = tagsOf(row.id).some(tag => tag.camera === row.camera && tag.frame === row.frame);
    const words = make("span", {}, `${row.camera ? "camera " + row.camera + ", " : ""}frame ${row.frame}`,
      marked ? make("span", { class: "mark" }, " tagged") : null, several ? make("small", {}, nameOf(row.id)) : null);
    return make("li", {}, make("button", { "aria-current": place === at ? "true" : false, onclick: () => choose(place) },
      row.camera ? image : make("span", { class: "none" }), words, make("b", {}, shown(row.value))));
  }));
  said();
}
const shown = value => Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);

function said() {
  $("position").textContent = rows.length ? (at < 0 ? `${rows.length} views` : `${at + 1} of ${rows.length}`) : reason;
  const buttons = $("rows").querySelectorAll("button");
  buttons.forEach((button, place) => place === at ? button.setAttribute("aria-current", "true") : button.removeAttribute("aria-current"));
  const list = $("rows"), row = buttons[at]?.parentElement;   // only the list is scrolled, not the page
  if (row) list.scrollTop = Math.max(row.offsetTop - list.offsetTop + row.offsetHeight - list.clientHeight, Math.min(list.scrollTop, row.offsetTop - list.offsetTop));
}

export function choose(place) {
  if (!rows.length) return;
  at = Math.max(0, Math.min(rows.length - 1, place));
  const row = rows[at], changes = { frame: row.frame };
  if (row.camera) changes.camera = row.camera;
  if (row.id !== state.run) Object.assign(changes, { run: row.id, beside: besides().map(id => id === row.id ? state.run : id).join() });
  set(changes);
  said();
}
// The rows after, before, and behind the next.
export const around = () => [rows[at + 1], rows[at - 1], rows[at + 2]].map(row => row ?? null);
export const step = by => choose(at < 0 ? 0 : at + by);

export const labels = () => [...new Set([...index.labels, ...own])];
export async function tag(label, more = {}) {
  if (!state.camera || state.frame === null) return;
  const run = state.run, id = more.id ?? [...crypto.getRandomValues(new Uint8Array(6))].map(b => b.toString(16).padStart(2, "0")).join("");
  const body = { id, camera: state.camera, frame: state.frame, tag: label, severity, note: "", ...more };
  keep(run, body);   // shown at once; what could not be kept is taken back
  try { await (sending = sending.catch(() => 0).then(() => post(`/api/tags/${run}`, body))); }
  catch (error) { keep(run, { ...body, removed: true }); problem(`The tag could not be kept. ${error.message}`); }
}
function keep(run, made) {
  tags[run] = [...(tags[run] || []).filter(each => each.id !== made.id), ...(made.removed ? [] : [made])];
  drawTags();
  const here = rows.findIndex(row => row.id === run && row.camera === made.camera && row.frame === made.frame);
  const words = $("rows").children[here]?.querySelector("span:not(.none)");
  const any = tags[run].some(each => each.camera === made.camera && each.frame === made.frame);
  if (words && any !== !!words.querySelector(".mark")) any ? words.insertBefore(make("span", { class: "mark" }, " tagged"), words.childNodes[1] || null) : words.querySelector(".mark").remove();
  document.body.dataset.tagged = `${Object.values(tags).flat().length}`;
  document.dispatchEvent(new Event("tags"));
}
const again = (old, more) => tag(old.tag, { id: old.id, severity: old.severity, note: old.note, ...more });
const last = () => tagsHere().at(-1);
export const undo = () => last() && again(last(), { removed: true });
export function setSeverity(value) {
  severity = value;
  if (last()) again(last(), { severity });
  drawSeverities();
}
export const nextSeverity = () => setSeverity(severity % 3 + 1);
export function writeNote() { $("note").focus(); }

function drawSeverities() {
  $("severities").replaceChildren("Severity ", ...[1, 2, 3].map(value => make("button", { role: "radio", "aria-checked": value === severity ? "true" : "false",
    class: value === severity ? "on" : "", onclick: () => setSeverity(value) }, ["slight", "clear", "severe"][value - 1])));
}

function drawTags() {
  $("labels").replaceChildren(...labels().map((label, place) => make("button", { onclick: () => tag(label), "aria-keyshortcuts": place < 9 ? String(place + 1) : false },
    place < 9 ? make("kbd", {}, String(place + 1)) : null, ` ${label}`)));
  drawSeverities();
  $("tags").replaceChildren(...tagsHere().map(each => make("li", {}, `${each.tag}, ${["slight", "clear", "severe"][each.severity - 1]}${each.note ? ": " + each.note : ""} `,
    make("button", { "aria-label": `Remove the tag ${each.tag}`, onclick: () => again(each, { removed: true }) }, "×"))));
  $("note").disabled = !last();
  $("note").value = last()?.note ?? "";
}

function remembered() {
  try { own = JSON.parse(localStorage.getItem("labels") || "[]").filter(each => typeof each === "string"); } catch { own = []; }
}

export function begin() {
  remembered();
  for (const name of ["metric", "region", "filter", "over"]) $(name).addEventListener("change", () => { at = -1; set({ [name]: $(name).value }); });
  $("note").addEventListener("keydown", event => {
    if (event.key === "Enter") { event.preventDefault(); if (last()) again(last(), { note: $("note").value }); $("note").blur(); }
    if (event.key === "Escape") { $("note").value = last()?.note ?? ""; $("note").blur(); }
  });
  $("own").addEventListener("keydown", event => {
    const label = $("own").value.trim();
    if (event.key === "Escape") $("own").blur();
    if (event.key !== "Enter" || !label) return;
    own = [...new Set([...own, label])];
    localStorage.setItem("labels", JSON.stringify(own));
    $("own").value = ""; $("own").blur();
    tag(label);
  });
  on(changed => {
    // Another list begins at its worst.
    if (["metric", "region", "filter", "over"].some(name => changed.has(name))) fallback = { camera: state.camera, frame: state.frame };
    const refilled = ["metric", "region", "filter", "over"].some(name => changed.has(name)) || ((changed.has("run") || changed.has("beside")) && state.over === "shown");
    if (refilled) return refill();
    if (["run", "camera", "frame"].some(name => changed.has(name))) { locate(); said(); drawTags(); }
    return null;
  });
}
// The worst view is the first that is shown where the address names none.
export function first(otherwise) { fallback = otherwise; return refill(); }
export { refill };
