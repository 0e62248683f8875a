// What this page shows: kept in its address, so that a reload, a bookmark and a second tab each have their own.
const START = { tab: "compare", run: "", beside: "", camera: "", frame: null, left: "person", right: "render", part: "both",
  wipe: 50, apart: false, whole: false, metric: "", region: "", filter: "", over: "shown" };
export const state = { ...START };
const listeners = [];
let waiting = false, changed = new Set();

export function read() {
  for (const [name, text] of new URLSearchParams(location.hash.slice(1)))
    if (name in START) state[name] = name === "frame" || name === "wipe" ? Number(text) : ["apart", "whole"].includes(name) ? text === "1" : text;
  if (!Number.isFinite(state.wipe)) state.wipe = 50;
  if (!Number.isInteger(state.frame)) state.frame = null;
}

export function set(changes) {
  for (const [name, value] of Object.entries(changes))
    if (state[name] !== value) { state[name] = value; changed.add(name); }
  if (!changed.size || waiting) return;
  waiting = true;
  queueMicrotask(() => {
    waiting = false;
    const now = changed; changed = new Set();
    keep();
    for (const listen of listeners) Promise.resolve().then(() => listen(now)).catch(error => fail(error));
  });
}

function keep() {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(state))
    if (value !== START[name] && value !== null) words.set(name, value === true ? "1" : String(value));
  history.replaceState(null, "", "#" + words);
}

let fail = () => {};
export const onFailure = act => { fail = act; };
// Called with the names of what has changed.
export const on = listen => listeners.push(listen);
