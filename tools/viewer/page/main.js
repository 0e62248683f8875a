// The page: which run, camera and frame; tabs; time; keys.
import { $, entry, index, json, make, options, problem } from "./server.js";
import { on, onFailure, read, set, state } from "./state.js";
import * as ahead from "./ahead.js";
import * as compare from "./compare.js";
import * as judge from "./judge.js";
import * as strips from "./strips.js";

const TABS = ["compare", "scene", "play", "check"];
const LATER = { scene: () => import("./scene.js"), play: () => import("./play.js"), check: () => import("./check.js") };
const opened = {};
let playing = 0, checking = 0;

const KEYS = [
  ["j, n", "next of the worst views", () => judge.step(1), ["j", "n"]],
  ["k, p", "the one before", () => judge.step(-1), ["k", "p"]],
  ["1 to 9", "tag this view; again for another tag", null, []],
  ["s", "severity: slight, clear, severe", () => judge.nextSeverity(), ["s"]],
  ["t", "write a note to the last tag (Enter keeps it, Escape leaves it)", () => judge.writeNote(), ["t"]],
  ["u", "take the last tag of this view back", () => judge.undo(), ["u"]],
  [", and .", "frame before, next frame", null, []],
  ["c, C", "next camera, camera before", null, []],
  ["d, D", "right picture: next layer, layer before", null, []],
  ["e, E", "left picture: next layer, layer before", null, []],
  ["← and →", "wipe (with Shift: a little)", null, []],
  ["w", "wipe, or side by side", () => set({ apart: !state.apart }), ["w"]],
  ["z", "the person, or the whole picture", () => set({ whole: !state.whole }), ["z"]],
  ["+, -, 0", "nearer, away, whole picture", null, []],
  ["space", "play and stop", () => play(), [" "]],
  ["r", "run: the next one", () => nextRun(1), ["r"]],
  ["R", "the one before", () => nextRun(-1), ["R"]],
  ["g", "list: of the runs shown, or of all", () => set({ over: state.over === "all" ? "shown" : "all" }), ["g"]],
  ["v", "Compare, Scene, Play, Check", () => set({ tab: nextTab(1) }), ["v"]],
  ["?", "this list", () => help(), ["?"]],
];
function nextTab(by, from = state.tab) {
  const there = TABS.filter(name => !$(`tab-${name}`).disabled);
  return there[(there.indexOf(from) + by + there.length) % there.length];
}
const DIRECT = {
  ".": () => stepFrame(1), ",": () => stepFrame(-1), c: () => stepCamera(1), C: () => stepCamera(-1),
  d: () => compare.cycle("right", 1), D: () => compare.cycle("right", -1), e: () => compare.cycle("left", 1), E: () => compare.cycle("left", -1),
  "+": () => compare.magnify(1.25), "-": () => compare.magnify(0.8), 0: () => compare.magnify(0),
};
for (const [, , act, keys] of KEYS) for (const key of keys) DIRECT[key] = act;

const typing = target => target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName) && !["checkbox", "button"].includes(target.type);
function onKey(event) {
  if (!$("keys-on").checked || event.ctrlKey || event.metaKey || event.altKey || $("keys").open || typing(event.target)) return;
  const onButton = event.target.tagName === "BUTTON" && [" ", "Enter"].includes(event.key);
  if (onButton || (event.target.id === "gl" && /^Arrow|^[+-]$/.test(event.key)) || event.target.role === "tab" && /^Arrow/.test(event.key)) return;
  if (/^[1-9]$/.test(event.key) && !event.repeat) {
    const label = judge.labels()[Number(event.key) - 1];
    if (label) { event.preventDefault(); judge.tag(label); }
  } else if (/^Arrow(Left|Right)$/.test(event.key)) {
    event.preventDefault();
    compare.moveWipe((event.key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 0.5 : 5));
  } else if (Object.hasOwn(DIRECT, event.key)) { event.preventDefault(); DIRECT[event.key](); }
}

function help() { $("keys").showModal(); }

async function stepFrame(by) {
  const { frames } = await entry(state.run);
  if (!frames.length) return;
  const place = Math.max(0, frames.indexOf(state.frame));
  set({ frame: frames[Math.max(0, Math.min(frames.length - 1, place + by))] });
}
async function stepCamera(by) {
  const { cameras } = await entry(state.run), place = cameras.findIndex(c => c.name === state.camera);
  set({ camera: cameras[(place + by + cameras.length) % cameras.length].name });
}
function nextRun(by) {
  const place = index.entries.findIndex(e => e.id === state.run), count = index.entries.length;
  set({ run: index.entries[(place + by + count) % count].id });
}

function play() {
  if (state.tab === "play" && opened.module) return opened.module.toggle();
  playing = playing ? 0 : performance.now();
  $("run").setAttribute("aria-pressed", playing ? "true" : "false");
  $("run").textContent = playing ? "Stop" : "Play";
  const mine = playing;
  (async () => {
    const { frames } = await entry(state.run);
    while (playing === mine && playing && frames.length > 1) {
      const place = frames.indexOf(state.frame), wait = new Promise(done => setTimeout(done, 1000 / 15));
      set({ frame: frames[(place + 1) % frames.length] });
      await wait;
      for (let n = 0; n < 100 && state.tab === "compare" && !(document.body.dataset.shown || "").includes(` ${state.frame} `); n++) await new Promise(done => setTimeout(done, 20));
    }
  })();
}

// The run, camera and frame that the address says, or the first ones.
async function settle(chosen = true) {
  const known = index.entries.map(e => e.id);
  if (!known.includes(state.run)) state.run = known[0] || "";
  if (!state.run) { problem("There is no run or capture any more."); return; }
  const run = await entry(state.run, true), names = run.cameras.map(c => c.name);
  const first = run.pictured[0] || run.scored[0] || [names[0], run.frames[0]];
  const camera = names.includes(state.camera) ? state.camera : first[0] ?? "";
  const there = run.frames.includes(state.frame) || run.scored.some(([c, f]) => c === camera && f === state.frame);
  const settled = { camera, frame: there ? state.frame : first[1] ?? null };
  if (chosen) set(settled);
  options($("entry"), index.entries.map(e => [e.id, e.name]), state.run);
  options($("camera"), names.map(name => [name, name]), state.camera);
  $("frame").max = Math.max(0, run.frames.length - 1);
  document.title = `${run.name}: simulacra view`;
  problem(run.problems.join("\n"));
  watch(run);
  posable(run);
  if (chosen) time(run);
  return settled;
}

// An avatar is needed for poses: where there is none the tab says why.
function posable(run) {
  const reason = run.kind === "session" ? run.missing.render : run.stages.includes("avatar") ? "" : "this run has no avatar yet";
  $("tab-play").disabled = !!reason;
  $("tab-play").title = reason ? `No poses: ${reason}` : "";
  if (reason && state.tab === "play") set({ tab: "compare" });
}

function others() {
  const rest = index.entries.filter(e => e.kind === "run" && e.id !== state.run && !compare.besides().includes(e.id));
  options($("beside"), [["", compare.besides().length ? "and ..." : "nothing"], ...rest.map(e => [e.id, e.name])], "");
}

function time(run) {
  $("camera").value = state.camera;
  const place = run.frames.indexOf(state.frame);
  $("frame").value = Math.max(0, place);
  $("frame").disabled = run.frames.length < 2;
  $("frame-said").textContent = `${state.frame ?? ""}${run.frames.length > 1 && place >= 0 ? ` (${place + 1} of ${run.frames.length})` : ""}`;
  $("frame").setAttribute("aria-valuetext", `frame ${state.frame}`);
}

// Digests are checked on the server beside the work; what is damaged is said as soon as that is known.
async function watch(run) {
  const mine = ++checking;
  for (let wait = 300; mine === checking; wait = Math.min(5000, wait * 1.5)) {
    const found = await json(`/api/entry/${run.id}/checks`).catch(() => null);
    if (!found || mine !== checking) return;
    const wrong = Object.values(found.stages).filter(Boolean);
    if (wrong.length) problem([...run.problems, ...wrong.map(line => `Damaged: ${line}. "simulacra repair" says what can be done.`)].join("\n"));
    document.body.dataset.checked = found.done ? "done" : "going";
    if (found.done) return;
    await new Promise(done => setTimeout(done, wait));
  }
}

async function showTab() {
  for (const name of TABS) {
    const chosen = name === state.tab;
    $(name).hidden = !chosen;
    $(`tab-${name}`).setAttribute("aria-selected", chosen ? "true" : "false");
    $(`tab-${name}`).tabIndex = chosen ? 0 : -1;
  }
  if (LATER[state.tab] && !opened[state.tab]) {
    const name = state.tab;
    opened[name] = LATER[name]().then(module => { if (name === "play") opened.module = module; return module.begin(); });
    await opened[name].catch(error => problem(error.message));
  }
}

async function begin() {
  read();
  const named = state.frame !== null;
  Object.assign(index, await json("/api/index"));
  if (!TABS.includes(state.tab)) state.tab = "compare";
  $("keylist").append(...KEYS.flatMap(([keys, said]) => [make("dt", {}, make("kbd", {}, keys)), make("dd", {}, said)]));
  $("help").addEventListener("click", help);
  $("keys-close").addEventListener("click", () => $("keys").close());
  addEventListener("keydown", onKey);
  onFailure(error => problem(error.message));
  const otherwise = await settle(named);
  on(async changed => {
    if (changed.has("run")) await settle();
    else if (changed.has("frame") || changed.has("camera")) time(await entry(state.run));
    if (changed.has("tab")) showTab();
    if (changed.has("run") || changed.has("beside")) others();
  });
  document.addEventListener("shown", ahead.begin);
  compare.begin(); judge.begin(); strips.begin();
  $("beside").addEventListener("change", () => set({ beside: [...compare.besides(), $("beside").value].join() }));
  for (const [name, key] of [["entry", "run"], ["camera", "camera"]]) $(name).addEventListener("change", () => set({ [key]: $(name).value }));
  $("frame").addEventListener("input", async () => set({ frame: (await entry(state.run)).frames[$("frame").value] }));
  $("before").addEventListener("click", () => stepFrame(-1));
  $("after").addEventListener("click", () => stepFrame(1));
  $("run").addEventListener("click", play);
  for (const name of TABS) {
    $(`tab-${name}`).addEventListener("click", () => set({ tab: name }));
    $(`tab-${name}`).addEventListener("keydown", event => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      const next = nextTab(by, name);
      set({ tab: next }); $(`tab-${next}`).focus();
    });
  }
  const tab = state.tab, run = await entry(state.run);
  state.tab = "";
  set({ tab });
  others(); strips.refill();
  await (named ? judge.refill() : judge.first(otherwise));
  document.body.dataset.ready = "1";
}
addEventListener("hashchange", () => location.reload());
begin().catch(error => problem(error.message));
