// Numbers over time, a line a camera; a click goes there.
import { $, entry, json, make } from "./server.js";
import { on, set, state } from "./state.js";
import { tagsOf } from "./judge.js";

const WANTED = ["psnr_fg", "reprojection_px", "trust"];
const HUES = [210, 25, 140, 285, 350, 55, 180, 320, 95, 240];
let kept = [], frames = [];
const color = place => `hsl(${HUES[place % HUES.length]} 65% ${matchMedia("(prefers-color-scheme: dark)").matches ? 68 : 33}%)`;

async function refill() {
  const run = await entry(state.run);
  const names = WANTED.filter(name => name === "trust" ? run.stages.includes("fit") : run.metrics[name]);
  if (state.metric && !names.includes(state.metric) && run.metrics[state.metric]) names.unshift(state.metric);
  const strips = (await Promise.all(names.map(name => json(`/api/entry/${run.id}/strip?metric=${name}`).catch(() => null)))).filter(Boolean);
  if (run.id !== state.run) return;   // somebody went on meanwhile
  frames = run.frames;
  kept = frames.length < 2 ? [] : strips;   // one moment is no time
  $("strips").replaceChildren(...kept.map(strip => {
    const canvas = make("canvas", { role: "img", "aria-label": `${strip.label} over the frames, a line for each camera. The slider above goes to a frame.` });
    canvas.addEventListener("click", event => goTo(strip, canvas, event));
    strip.canvas = canvas;
    const cameras = Object.keys(strip.cameras);
    const key = cameras.slice(0, 10).map((name, place) => { const mark = make("span", {}, "▬"); mark.style.color = color(place); return make("span", {}, mark, ` ${name || "world"}`); });
    return make("div", { class: "strip" }, make("p", {}, make("b", {}, `${strip.label}${strip.unit ? ", " + strip.unit : ""}`)), canvas, make("p", { "aria-hidden": "true" }, ...key));
  }));
  draw();
}

const across = (frame, width) => frames.length < 2 ? width / 2 : 6 + (width - 12) * (frame - frames[0]) / (frames.at(-1) - frames[0]);
function span(strip) {
  const values = Object.values(strip.cameras).flatMap(line => line.values);
  const low = Math.min(...values), high = Math.max(...values);
  return [low, high > low ? high : low + 1];
}

function draw() {
  for (const strip of kept) {
    const { canvas } = strip, ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) continue;
    canvas.width = width * ratio; canvas.height = height * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const [low, high] = span(strip), up = value => height - 5 - (height - 10) * (value - low) / (high - low);
    const ink = getComputedStyle(canvas).color;
    pen.font = "11px system-ui"; pen.fillStyle = ink;
    Object.entries(strip.cameras).forEach(([name, line], place) => {
      pen.strokeStyle = pen.fillStyle = color(place);
      pen.lineWidth = name === state.camera ? 2.5 : 1;
      pen.beginPath();
      line.frames.forEach((frame, n) => pen[n ? "lineTo" : "moveTo"](across(frame, width), up(line.values[n])));
      pen.stroke();
      if (line.frames.length <= 60) line.frames.forEach((frame, n) => { pen.beginPath(); pen.arc(across(frame, width), up(line.values[n]), 2.2, 0, 7); pen.fill(); });
    });
    pen.fillStyle = ink;
    pen.fillText(high.toPrecision(3), 3, 11); pen.fillText(low.toPrecision(3), 3, height - 3);
    for (const tag of tagsOf(state.run)) { pen.fillStyle = "#d0342c"; pen.fillRect(across(tag.frame, width) - 1.5, 0, 3, 6); }
    if (state.frame !== null) { pen.strokeStyle = ink; pen.lineWidth = 1; pen.beginPath(); pen.moveTo(across(state.frame, width), 0); pen.lineTo(across(state.frame, width), height); pen.stroke(); }
  }
}

// To the nearest measured point of the nearest line.
function goTo(strip, canvas, event) {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  const [low, high] = span(strip), up = value => box.height - 5 - (box.height - 10) * (value - low) / (high - low);
  let best = Infinity, found = null;
  for (const [camera, line] of Object.entries(strip.cameras))
    line.frames.forEach((frame, n) => {
      const far = Math.hypot(4 * (across(frame, box.width) - x), up(line.values[n]) - y);
      if (far < best) { best = far; found = { frame, ...(camera ? { camera } : {}) }; }
    });
  if (found) set(found);
}

export function begin() {
  addEventListener("resize", draw);
  document.addEventListener("tags", draw);
  on(changed => {
    if (changed.has("run") || changed.has("metric")) return refill();
    if (changed.has("frame") || changed.has("camera")) draw();
    return null;
  });
}
export { refill, draw };
