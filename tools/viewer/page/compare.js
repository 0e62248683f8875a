// Pictures of one view, two laid over each other with a wipe, of one run or of several side by side.
import { $, ask, entry, index, json, make, options, sayWhile } from "./server.js";
import { halt } from "./ahead.js";
import { on, set, state } from "./state.js";

export const LAYERS = [["person", "photo, person"], ["photo", "photo, whole"], ["render", "render"], ["overlay", "overlay"],
  ["difference", "difference"], ["depth", "depth, drawn"], ["measured", "depth, sensor"], ["normals", "normals"],
  ["parts", "body parts"], ["body", "body"], ["keypoints", "keypoints"], ["mask", "mask"]];
const OVER_BLACK = ["person", "render", "depth", "normals", "parts", "difference", "against"];
// They lie in a run as files; others are drawn.
const IN_FILES = ["person", "render", "difference"];
let zoom = 1, shownWish = 0;

export function pictureUrl(run, layer, camera, frame, more = {}) {
  const words = new URLSearchParams({ v: run.stamp, ...more });
  if (layer === "difference" || layer === "against") words.set("part", state.part);
  return `/picture/${run.id}/${layer}/${encodeURIComponent(camera)}/${frame}?${words}`;
}

export const besides = () => state.beside.split(",").filter(id => id && id !== state.run && index.entries.some(e => e.id === id));

// Whether a picture is there without anything being drawn for it.
export const isFile = (run, layer, camera, frame) => IN_FILES.includes(layer) && run.pictured.some(([c, f]) => c === camera && f === frame);

const hasView = (run, camera, frame) =>
  (run.frames.includes(frame) && run.cameras.some(c => c.name === camera) && !(run.absent[camera] || []).includes(frame))
  || run.scored.some(([c, f]) => c === camera && f === frame);

function pane(run, title, left, right, more = {}) {
  const under = make("img", { alt: "", draggable: "false" }), over = make("img", { alt: "", draggable: "false" });
  const cut = make("div", { class: "over" }, over);
  const line = make("button", { class: "line", role: "slider", "aria-label": "Wipe", "aria-valuemin": 0, "aria-valuemax": 100,
    "aria-orientation": "horizontal" });
  const said = make("p", { class: "said", role: "status" });
  const stack = make("div", { class: "stack" }, under, cut, line, said,
    make("span", { class: "which l" }), make("span", { class: "which r" }));
  const remove = more.remove && make("button", { "aria-label": `Take ${run.name} away`, onclick: more.remove }, "×");
  const figure = make("figure", {}, stack, make("figcaption", {}, title, " ", remove || ""));
  stack.addEventListener("pointermove", event => {
    if (event.pointerType === "touch" && !event.buttons) return;
    const box = stack.getBoundingClientRect();
    set({ wipe: Math.max(0, Math.min(100, Math.round(1000 * (event.clientX - box.left) / box.width) / 10)) });
  });
  stack.addEventListener("wheel", event => { if (event.ctrlKey) { event.preventDefault(); magnify(event.deltaY < 0 ? 1.25 : 0.8); } }, { passive: false });
  line.addEventListener("keydown", event => {
    const by = { ArrowLeft: -2, ArrowRight: 2, Home: -100, End: 100 }[event.key];
    if (by) { event.preventDefault(); event.stopPropagation(); moveWipe(by); }
  });
  return { run, figure, under, over, cut, line, said, left, right, other: more.other, stack };
}

export const moveWipe = by => set({ wipe: Math.max(0, Math.min(100, state.wipe + by)) });
export function magnify(by) {
  zoom = by === 0 ? 1 : Math.max(0.25, Math.min(16, zoom * by));
  for (const each of panes) place(each);
}

// Where the person is in a picture over black, as parts of its width and height; all of it where nobody is.
function personBox(image) {
  const side = 96, pen = make("canvas", { width: side, height: side }).getContext("2d", { willReadFrequently: true });
  pen.drawImage(image, 0, 0, side, side);
  const { data } = pen.getImageData(0, 0, side, side), box = [1, 1, 0, 0];
  for (let i = 0; i < side * side; i++) {
    if (Math.max(data[4 * i], data[4 * i + 1], data[4 * i + 2]) <= 12) continue;
    const [x, y] = [i % side / side, Math.floor(i / side) / side];
    box[0] = Math.min(box[0], x); box[1] = Math.min(box[1], y); box[2] = Math.max(box[2], x + 1 / side); box[3] = Math.max(box[3], y + 1 / side);
  }
  return box[2] > box[0] ? box : [0, 0, 1, 1];
}

// Pictures fill their place with the person where that is known, and with everything otherwise or if it is asked for.
function place(each) {
  const { clientWidth: width, clientHeight: height } = each.stack, { naturalWidth: w, naturalHeight: h } = each.under;
  if (!w || !width) return;
  const [x0, y0, x1, y1] = state.whole ? [0, 0, 1, 1] : each.box || [0, 0, 1, 1];
  const fit = Math.min(width / ((x1 - x0) * w), height / ((y1 - y0) * h)) * (state.whole ? 1 : 0.94) * zoom;
  const whole = Math.min(width / w, height / h), scale = Math.max(fit, Math.min(whole, whole * zoom)) / whole;
  const [cx, cy] = [(width - whole * w) / 2 + whole * w * (x0 + x1) / 2, (height - whole * h) / 2 + whole * h * (y0 + y1) / 2];
  for (const image of [each.under, each.over]) image.style.transform = `translate(${width / 2 - scale * cx}px, ${height / 2 - scale * cy}px) scale(${scale})`;
  each.stack.classList.toggle("magnified", scale * whole > 2.5);
}

let panes = [];
async function rebuild() {
  const runs = [await entry(state.run)];
  for (const id of besides()) runs.push(await entry(id));
  const apart = state.apart || runs.length > 1;
  const list = [];
  for (const run of runs) {
    const remove = run.id === state.run ? null : () => set({ beside: besides().filter(id => id !== run.id).join() });
    if (apart && runs.length === 1) list.push(pane(run, run.name, state.left, state.left), pane(run, run.name, state.right, state.right));
    else list.push(pane(run, run.name, state.left, state.right, { remove }));
  }
  for (const run of runs.slice(1)) {
    const said = `${run.name} against ${runs[0].name}: red is worse, blue is better than ${runs[0].name}`;
    list.push(pane(run, said, "against", "change", { other: runs[0].id }));
  }
  panes = list;
  $("panes").replaceChildren(...list.map(each => each.figure));
}

const names = { ...Object.fromEntries(LAYERS), against: "difference of the two", change: "change of the error" };

async function load(url) {
  const loading = make("img", { alt: "", draggable: "false" });
  loading.src = url;
  await loading.decode();
  return loading;
}

// Puts a picture that is decoded in the place of another.
function put(each, name, loaded) {
  loaded.alt = each[name].alt;
  each[name].replaceWith(loaded);
  each[name] = loaded;
}

// Shows the view that is chosen; what is late, because another was chosen meanwhile, is dropped.
async function show() {
  const wish = ++shownWish, { camera, frame } = state;
  halt();
  if (!camera || frame === null) return;
  wipe();
  await Promise.all(panes.map(async each => {
    const [left, right] = [each.left, each.right].map(layer => instead(each.run, layer));
    let late = true;
    sayWhile(() => late && wish === shownWish, each.run, text => { each.said.textContent = text; });
    each.line.hidden = each.cut.hidden = left === right;
    each.stack.querySelector(".l").textContent = names[left];
    each.stack.querySelector(".r").textContent = left === right ? "" : names[right];
    each.stack.querySelector(".r").hidden = left === right;
    each.under.alt = `${names[left]} of camera ${camera}, frame ${frame}, ${each.run.name}`;
    each.over.alt = `${names[right]} of the same view`;
    try {
      if (!hasView(each.run, camera, frame)) throw new Error("This run has no such view.");
      const [under, over] = await Promise.all([load(pictureUrl(each.run, left, camera, frame, { ...(each.other ? { other: each.other } : {}) })),
        left === right ? null : load(pictureUrl(each.run, right, camera, frame, { ...(each.other ? { other: each.other } : {}) }))]);
      if (wish !== shownWish) return;
      late = false;
      each.said.textContent = "";
      put(each, "under", under);
      if (over) put(each, "over", over);
      const black = [[left, each.under], [right, each.over]].find(([layer]) => OVER_BLACK.includes(layer));
      each.box = black ? personBox(black[1]) : each.box;
      place(each);
    } catch (error) {
      late = false;
      if (wish !== shownWish) return;
      each.under.hidden = each.cut.hidden = true;
      each.said.textContent = await reason(each, left, right, camera, frame, error);
    }
  }));
  if (wish !== shownWish) return;
  document.body.dataset.shown = `${state.run} ${camera} ${frame} ${state.left} ${state.right} ${state.beside}`;
  document.dispatchEvent(new Event("shown"));
  bars();
}

async function reason(each, left, right, camera, frame, error) {
  if (!(error instanceof DOMException)) return error.message;
  for (const layer of [left, right]) {
    try { await ask(pictureUrl(each.run, layer, camera, frame, { ...(each.other ? { other: each.other } : {}) })); }
    catch (found) { return found.message; }
  }
  return "A picture could not be loaded.";
}

function wipe() {
  for (const each of panes) {
    each.stack.style.setProperty("--wipe", state.wipe + "%");
    each.line.setAttribute("aria-valuenow", Math.round(state.wipe));
    each.line.setAttribute("aria-valuetext", `${Math.round(state.wipe)} % ${names[each.left]}`);
  }
}

function ramp(colors) {
  const canvas = make("canvas", { width: colors.length, height: 1, role: "img", "aria-label": "color bar" });
  const pen = canvas.getContext("2d");
  colors.forEach((color, at) => { pen.fillStyle = color; pen.fillRect(at, 0, 1, 1); });
  return canvas;
}

// Color bars of what is shown, and the numbers of the view.
async function bars() {
  const layers = [state.left, state.right, ...(state.beside ? ["against"] : [])], run = await entry(state.run), found = [];
  const wantsDepth = layers.includes("depth");
  const { camera, frame } = state;
  const numbers = await json(`/api/entry/${run.id}/numbers/${encodeURIComponent(camera)}/${frame}${wantsDepth ? "?depth=1" : ""}`).catch(() => ({ scores: {} }));
  if (camera !== state.camera || frame !== state.frame) return;
  if (layers.includes("difference") || layers.includes("against")) {
    const full = Math.round(100 * index.full_scale);
    found.push(make("span", {}, "inside 0 ", ramp(index.ramps.inside), ` ${full} % of the range or more`),
      make("span", {}, "outline 0 ", ramp(index.ramps.outline), ` ${full} %`));
  }
  if (numbers.depth) found.push(make("span", {}, `${numbers.depth[1].toFixed(2)} m `, ramp(index.ramps.depth), ` ${numbers.depth[0].toFixed(2)} m`));
  if (layers.includes("normals")) found.push(make("span", {}, "right red, up green, towards the camera blue"));
  if (layers.includes("keypoints")) found.push(make("span", {}, "dots: seen by the network; rings: where the body is"));
  const scores = Object.entries(numbers.scores).filter(([name]) => run.metrics[name]);
  if (scores.length) found.push(make("span", {}, scores.map(([name, value]) => `${run.metrics[name].label} ${value.toFixed(run.metrics[name].decimals)} ${run.metrics[name].unit}`.trim()).join(" · ")));
  if (numbers.zones) {
    const { inside_db: inside, outline_db: outline, outline_share: share } = numbers.zones;
    const words = [inside === undefined ? "" : `inside ${inside.toFixed(1)} dB`, outline === undefined ? "" : `outline ${outline.toFixed(1)} dB`,
      share === undefined ? "" : `${Math.round(100 * share)} % of the error is along the outline`].filter(Boolean);
    found.push(make("span", {}, words.join(", ")));
  }
  $("bars").replaceChildren(...found);
}

export function begin() {
  for (const side of ["left", "right"]) options($(side), LAYERS, state[side]);
  for (const side of ["left", "right", "part"]) {
    $(side).value = state[side];
    $(side).addEventListener("change", () => set({ [side]: $(side).value }));
  }
  $("apart").checked = state.apart;
  $("apart").addEventListener("change", () => set({ apart: $("apart").checked }));
  addEventListener("resize", () => panes.forEach(place));
  on(async changed => {
    if (changed.has("whole")) panes.forEach(place);
    const run = await entry(state.run);
    for (const side of ["left", "right"]) $(side).value = instead(run, state[side]);
    $("part").value = state.part;
    $("apart").checked = state.apart;
    $("part-label").hidden = !($("left").value === "difference" || $("right").value === "difference" || state.beside);
    if (changed.has("wipe")) wipe();
    if (changed.has("run") || changed.has("tab")) offer(run);
    if (state.tab !== "compare") return;
    if (["run", "beside", "left", "right", "apart", "tab"].some(name => changed.has(name))) await rebuild();
    if (["run", "beside", "left", "right", "apart", "tab", "camera", "frame", "part"].some(name => changed.has(name))) await show();
  });
}

// What is shown for a layer that a run has not.
const instead = (run, layer) => run.missing[layer] ? ["photo", "person", "render"].find(name => !run.missing[name]) ?? layer : layer;

// Layers that a run has not are named with the reason, and cannot be chosen.
function offer(run) {
  for (const side of ["left", "right"]) for (const option of $(side).options) {
    const reason = run.missing[option.value];
    option.disabled = !!reason;
    option.textContent = reason ? `${names[option.value]} (${reason})` : names[option.value];
  }
}

// The layer that a step from the one shown comes to.
export function layerAt(run, side, by) {
  const there = LAYERS.map(([name]) => name).filter(name => !run.missing[name]);
  return there[(Math.max(0, there.indexOf(state[side])) + by + there.length) % there.length] ?? state[side];
}
export const cycle = async (side, by) => set({ [side]: layerAt(await entry(state.run), side, by) });
