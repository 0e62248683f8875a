// The scene: cameras with their photographs, body, surface, splats, keypoints and depth, turned by pointer and keys.
import { $, block, entry, make, options, save, sayWhile } from "./server.js";
import { on, set, state } from "./state.js";
import { pictureUrl } from "./compare.js";
import { Drawer, dot, eyeOf, lookAt, minus } from "./gl.js";
import { SplatRenderer } from "./splats.js";

const LAYERS = [["cameras", "cameras", true], ["photos", "photographs", true], ["splats", "splats", true], ["body", "body", false],
  ["surface", "fused surface", false], ["points", "keypoints", false], ["cloud", "depth points", false]];
const MOVING = ["splats", "body", "points", "cloud", "photos"];
const BONES = [[11, 12], [11, 13], [13, 15], [12, 14], [14, 16], [11, 23], [12, 24], [23, 24], [23, 25], [25, 27], [24, 26], [26, 28], [27, 31], [28, 32], [0, 11], [0, 12]];
let drawer, splats, back, splatCanvas, run, mesh, wish = 0, dirty = true;
const shapes = new Map(), wanted = Object.fromEntries(LAYERS.map(([name, , shown]) => [name, shown]));
const view = { target: [0, 0.9, 0], azimuth: 0.6, elevation: 0.5, distance: 3.5, fixed: null };

// The camera that is looked through: one of the capture, or one that turns around a point.
export function camera(width, height) {
  if (view.fixed) {
    const { K, viewmat, width: w, height: h } = view.fixed, scale = Math.min(width / w, height / h);
    const [x, y] = [(width - scale * w) / 2, (height - scale * h) / 2];
    return { viewmat, K: [[scale * K[0][0], scale * K[0][1], scale * K[0][2] + x], [0, scale * K[1][1], scale * K[1][2] + y], [0, 0, 1]] };
  }
  const level = Math.cos(view.elevation), f = 1.2 * Math.min(width, height);
  const eye = [Math.sin(view.azimuth) * level, Math.sin(view.elevation), Math.cos(view.azimuth) * level].map((v, i) => view.target[i] + view.distance * v);
  return { viewmat: lookAt(eye, view.target), K: [[f, 0, width / 2], [0, f, height / 2], [0, 0, 1]] };
}

function release() {   // a fixed camera becomes one that turns around what it looks at
  if (!view.fixed) return;
  const eye = eyeOf(view.fixed.viewmat), far = minus(eye, view.target);
  view.distance = Math.hypot(...far);
  view.azimuth = Math.atan2(far[0], far[2]);
  view.elevation = Math.asin(Math.max(-1, Math.min(1, far[1] / (view.distance || 1))));
  view.fixed = null;
  $("scene-camera").value = "";
}
const turn = (dx, dy) => { release(); view.azimuth -= dx; view.elevation = Math.max(-1.5, Math.min(1.5, view.elevation + dy)); dirty = true; };
const nearer = by => { release(); view.distance = Math.max(0.1, Math.min(40, view.distance * by)); dirty = true; };
function shift(dx, dy) {
  release();
  const [right, down] = camera(2, 2).viewmat, step = view.distance / 600;
  view.target = view.target.map((v, i) => v - step * (dx * right[i] + dy * down[i]));
  dirty = true;
}

function frustum({ K, viewmat, width, height }, size) {
  const eye = eyeOf(viewmat), corners = [[0, 0], [width, 0], [0, height], [width, height]].map(([u, v]) => {
    const ray = [(u - K[0][2]) / K[0][0], (v - K[1][2]) / K[1][1], 1].map(c => c * size);
    return [0, 1, 2].map(c => eye[c] + ray[0] * viewmat[0][c] + ray[1] * viewmat[1][c] + ray[2] * viewmat[2][c]);
  });
  const [a, b, c, d] = corners, edges = [[eye, a], [eye, b], [eye, c], [eye, d], [a, b], [b, d], [d, c], [c, a]];
  return { eye, corners: new Float32Array(corners.flat()), lines: new Float32Array(edges.flat(2)) };
}

function put(name, list) {
  for (const old of shapes.get(name) || []) drawer.forget(old);
  shapes.set(name, list);
  dirty = true;
}

async function fill(name) {
  const now = `v=${run.stamp}`, at = `/scene/${run.id}`, { frame } = state, mine = run;
  const ours = () => mine === run && frame === state.frame;
  if (!wanted[name] || frame === null) return put(name, []);
  if (name === "cameras") {
    const cameras = run.cameras.filter(c => c.K);
    return put(name, cameras.map(c => { const { lines, eye } = frustum(c, size()); return { ...drawer.shape("lines", lines, c.name === state.camera ? [255, 190, 60] : [140, 170, 210]), eye }; }));
  }
  if (name === "photos") {
    const made = await Promise.all(run.cameras.filter(c => c.K && !(run.absent[c.name] || []).includes(frame)).map(async c => {
      const image = new Image();
      image.src = pictureUrl(run, "photo", c.name, frame, { side: 256 });
      try { await image.decode(); } catch { return null; }
      if (!ours()) return null;
      const { corners, eye } = frustum(c, size());
      return { ...drawer.picture(corners, image), eye };
    }));
    return ours() ? put(name, made.filter(Boolean)) : 0;
  }
  if (name === "cloud") {
    const clouds = await Promise.all(run.cameras.filter(c => c.depth && !(run.absent[c.name] || []).includes(frame))
      .map(c => block(`${at}/cloud/${frame}?${now}&camera=${encodeURIComponent(c.name)}`).catch(() => null)));
    return ours() ? put(name, clouds.filter(Boolean).map(({ points, colors }) => drawer.shape("points", points, colors, { size: 1.5 }))) : 0;
  }
  if (name === "splats") {
    const found = await block(`${at}/splats/${frame}?${now}`);
    if (!ours()) return 0;
    splats ??= new SplatRenderer(splatCanvas);
    splats.load({ ...found, eps2d: found.facts.eps2d });
    aim(found.means);
    splats.here = true;
    return dirty = true;
  }
  if (name === "body") {
    mesh ??= await block(`${at}/mesh/${frame}?${now}`);
    const paint = $("scene-paint").value;
    const [{ verts }, painted] = await Promise.all([block(`${at}/body/${frame}?${now}`), paint === "error" ? block(`${at}/error/${frame}?${now}`) : null]);
    if (!ours()) return 0;
    aim(verts);
    if (painted && !painted.facts.cameras.length) say("No photograph of this frame to compare with.");
    return put(name, [drawer.shape("mesh", verts, paint === "parts" ? mesh.colors : painted ? painted.colors : [170, 176, 186], { faces: mesh.faces })]);
  }
  if (name === "surface") {
    const { points, colors } = await block(`${at}/surface/${frame}?${now}`);
    return put(name, [drawer.shape("points", points, colors, { size: 2 })]);
  }
  const { body, triangulated } = await block(`${at}/points/${frame}?${now}`);
  if (!ours()) return 0;
  const made = [];
  for (const [points, color] of [[body, [255, 80, 220]], [triangulated, [255, 220, 60]]]) {
    if (!points) continue;
    const there = k => Number.isFinite(points[3 * k]), place = k => [...points.subarray(3 * k, 3 * k + 3)];
    const dots = [...Array(points.length / 3).keys()].filter(there).flatMap(place);
    const limbs = BONES.filter(([a, b]) => there(a) && there(b)).flatMap(([a, b]) => [...place(a), ...place(b)]);
    made.push(drawer.shape("points", new Float32Array(dots), color, { size: 7, through: true }), drawer.shape("lines", new Float32Array(limbs), color, { through: true }));
  }
  return put(name, made);
}

const size = () => 0.09 * Math.max(1, Math.min(6, Math.max(...run.cameras.filter(c => c.viewmat).map(c => Math.hypot(...minus(eyeOf(c.viewmat), view.target))), 1)));

// The first thing of the person that arrives is what the view turns around.
function aim(points) {
  if (view.aimed === run.id) return;
  view.aimed = run.id;
  const low = [9e9, 9e9, 9e9], high = [-9e9, -9e9, -9e9];
  for (let i = 0; i < points.length; i++) { low[i % 3] = Math.min(low[i % 3], points[i]); high[i % 3] = Math.max(high[i % 3], points[i]); }
  view.target = low.map((v, i) => (v + high[i]) / 2);
  if (!view.fixed) view.distance = 1.3 * Math.max(...high.map((v, i) => v - low[i]));
  fill("cameras"); fill("photos");
}

function say(text) { $("scene-said").textContent = text; }

async function refill(names) {
  const mine = ++wish;
  run = await entry(state.run);
  const can = run.kind === "run" ? names : names.filter(name => ["cameras", "photos", "cloud"].includes(name));
  let wrong = "", late = true;
  sayWhile(() => late && mine === wish, run, say);
  await Promise.all(can.map(name => fill(name).catch(error => { put(name, []); if (name === "splats" && splats) splats.here = false; wrong = error.message.split("\n")[0]; })));
  late = false;
  if (mine !== wish) return;
  say(wrong);
  document.body.dataset.scene = `${run.id} ${state.frame}`;
}

// Far cameras lie behind the splats, near ones before them; the rest is drawn over them.
function draw() {
  requestAnimationFrame(draw);
  if (!dirty || state.tab !== "scene" || !run) return;
  dirty = false;
  const canvas = $("gl"), ratio = Math.min(2, devicePixelRatio || 1);
  const [width, height] = [Math.max(1, Math.round(canvas.clientWidth * ratio)), Math.max(1, Math.round(canvas.clientHeight * ratio))];
  for (const each of [canvas, back, splatCanvas, drawer.canvas]) if (each.width !== width || each.height !== height) { each.width = width; each.height = height; }
  const { viewmat, K } = camera(width, height), opacity = Number($("scene-photo").value);
  const depth = point => dot(viewmat[2], point) + viewmat[2][3], middle = depth(view.target);
  const all = [...shapes.values()].flat().filter(shape => !view.fixed || !shape.eye || Math.hypot(...minus(shape.eye, eyeOf(viewmat))) > 0.01);
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  drawer.draw(all.filter(shape => shape.eye && depth(shape.eye) >= middle), viewmat, K, opacity);
  pen.drawImage(drawer.canvas, 0, 0);
  const showSplats = wanted.splats && splats?.here;
  if (showSplats) {
    splats.setCamera(viewmat.flat(), K.flat());
    const sorted = splats.frame([0, 0, 0, 0]);
    if (!splats.first) { splats.first = true; sorted.then(() => { dirty = true; document.body.dataset.splats = run.id; }); }
    else if (!draw.resting) draw.resting = setTimeout(() => { draw.resting = 0; sorted.then(() => { dirty = !settled(viewmat); }); }, 60);
    pen.drawImage(splatCanvas, 0, 0);
  }
  drawer.draw(all.filter(shape => !shape.eye || depth(shape.eye) < middle), viewmat, K, opacity);
  pen.drawImage(drawer.canvas, 0, 0);
  document.body.dataset.drawn = Number(document.body.dataset.drawn || 0) + 1;
}
// Whether this very view was drawn after it was sorted for.
function settled(viewmat) {
  const now = JSON.stringify(viewmat), same = settled.last === now;
  settled.last = now;
  return same;
}

// How near the browser's splats are to the server's picture of a camera, in dB: what the page says of itself is tested.
export async function agreement(name) {
  const { frame } = state, current = await entry(state.run), camera = current.cameras.find(c => c.name === name);
  const image = new Image();
  image.src = pictureUrl(current, "render", name, frame);
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const canvas = make("canvas", { width, height }), pen = make("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
  const renderer = new SplatRenderer(canvas);
  const found = await block(`/scene/${current.id}/splats/${frame}?v=${current.stamp}&camera=${encodeURIComponent(name)}`);
  renderer.load({ ...found, eps2d: found.facts.eps2d });
  const [x, y] = [width / camera.width, height / camera.height];
  renderer.setCamera(camera.viewmat.flat(), camera.K.map((row, i) => row.map(v => v * [x, y, 1][i])).flat());
  await renderer.render([0, 0, 0, 1]);
  const ours = renderer.readPixels();
  renderer.dispose();
  pen.drawImage(image, 0, 0);
  const theirs = pen.getImageData(0, 0, width, height).data;
  let sum = 0;
  for (let i = 0; i < theirs.length; i += 4) for (let c = 0; c < 3; c++) sum += ((ours[i + c] - theirs[i + c]) / 255) ** 2;
  return -10 * Math.log10(Math.max(sum / (theirs.length / 4 * 3), 1e-10));
}

function jump(name) {
  const found = run.cameras.find(c => c.name === name && c.K);
  view.fixed = found || null;
  if (found) set({ camera: name });
  dirty = true;
}

function listen(canvas) {
  const held = new Map();
  canvas.addEventListener("pointerdown", event => { canvas.setPointerCapture(event.pointerId); held.set(event.pointerId, event); });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, event => held.delete(event.pointerId));
  canvas.addEventListener("pointermove", event => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    if (held.size === 2) {
      const other = [...held.values()].find(each => each.pointerId !== event.pointerId);
      const far = at => Math.hypot(at.clientX - other.clientX, at.clientY - other.clientY);
      nearer(far(before) / Math.max(1, far(event)));
    } else if (event.buttons & 2 || event.shiftKey) shift(dx, dy);
    else turn(dx / 150, dy / 150);
    held.set(event.pointerId, event);
  });
  canvas.addEventListener("wheel", event => { event.preventDefault(); nearer(Math.exp(event.deltaY / 800)); }, { passive: false });
  canvas.addEventListener("contextmenu", event => event.preventDefault());
  canvas.addEventListener("keydown", event => {
    const act = { ArrowLeft: () => turn(0.1, 0), ArrowRight: () => turn(-0.1, 0), ArrowUp: () => turn(0, 0.1), ArrowDown: () => turn(0, -0.1), "+": () => nearer(0.85), "-": () => nearer(1.18) }[event.key];
    if (act) { event.preventDefault(); event.stopPropagation(); act(); }
  });
}

export async function begin() {
  const layer = ([name, label, shown]) => make("label", {}, make("input", { type: "checkbox", id: `layer-${name}`, checked: shown,
    onchange: event => { wanted[name] = event.target.checked; if (name === "splats") dirty = true; refill([name]); } }), label);
  const paint = make("select", { id: "scene-paint", onchange: () => refill(["body"]) });
  options(paint, [["plain", "plain"], ["parts", "by body part"], ["error", "by error against the photographs"]], "plain");
  $("scene-layers").append(...LAYERS.map(layer), make("label", {}, "body ", paint));
  [back, splatCanvas] = [make("canvas"), make("canvas")];
  drawer = new Drawer(make("canvas"));
  listen($("gl"));
  $("scene-photo").addEventListener("input", () => { dirty = true; });
  $("scene-save").addEventListener("click", () => { $("gl").toBlob(blob => save(blob, `${run.name.replaceAll("/", "_")}_${state.frame}.png`)); });
  $("scene-camera").addEventListener("change", () => jump($("scene-camera").value));
  $("scene-check").addEventListener("click", async () => {
    say("Drawing both ...");
    try { say(`Camera ${state.camera}, frame ${state.frame}: this browser's splats and the server's picture agree to ${(await agreement(state.camera)).toFixed(1)} dB.`); }
    catch (error) { say(error.message || "The server has no picture of this view."); }
  });
  addEventListener("resize", () => { dirty = true; });
  on(changed => {
    if (state.tab !== "scene") return;
    if (changed.has("run")) { mesh = null; view.fixed = null; if (splats) splats.here = false; start(); }
    else if (changed.has("tab")) { dirty = true; refill(LAYERS.map(([name]) => name)); }
    else if (changed.has("frame")) refill(MOVING.filter(name => wanted[name]));
    if (changed.has("camera") && run) fill("cameras");
  });
  requestAnimationFrame(draw);
  await start();
}

async function start() {
  run = await entry(state.run);
  options($("scene-camera"), [["", "free view"], ...run.cameras.filter(c => c.K).map(c => [c.name, c.name])], "");
  await refill(LAYERS.map(([name]) => name));
  window.simulacraScene = { agreement, view, turn, jump };
}
