// The avatar in poses by sliders and in motions that are dropped in; every picture is drawn by the server.
import { $, ask, entry, json, make, options, post, save, sayWhile } from "./server.js";
import { on, state } from "./state.js";

const asked = { bones: {}, expressions: {}, azimuth: 0, elevation: 6, distance: 1, height: 0, side: 512 };
let facts = null, run = null, motion = null, busy = false, again = false, playing = 0;
const say = text => { $("play-said").textContent = text; };

function wanted(side = 512) {
  const base = $("play-base").value, pose = motion ? { motion: motion.motion, at: Number($("play-frame").value) } : base === "rest" ? {} : { frame: state.frame };
  const bones = Object.fromEntries(Object.entries(asked.bones).filter(([, v]) => v.some(Boolean)).map(([name, v]) => [name, v.map(d => d * Math.PI / 180)]));
  return { ...asked, ...pose, bones, side };
}

// The newest wish is drawn; those that came while one was drawn are left out.
async function draw() {
  if (busy) { again = true; return; }
  busy = true;
  do {
    again = false;
    try {
      const blob = await (await post(`/play/${run.id}/picture`, wanted())).blob(), url = URL.createObjectURL(blob), old = $("play-picture").src;
      $("play-picture").src = url;
      await $("play-picture").decode().catch(() => 0);
      if (old.startsWith("blob:")) URL.revokeObjectURL(old);
      document.body.dataset.played = Number(document.body.dataset.played || 0) + 1;
      if ($("play-said").dataset.wrong) { say(""); delete $("play-said").dataset.wrong; }
    } catch (error) { say(error.message); $("play-said").dataset.wrong = "1"; }
  } while (again);
  busy = false;
}

function slider(label, low, high, step, get, put) {
  const said = make("output", {}), input = make("input", { type: "range", min: low, max: high, step, value: get() });
  const show = () => { said.textContent = step < 1 ? Number(input.value).toFixed(2) : `${input.value}°`; };
  input.addEventListener("input", () => { put(Number(input.value)); show(); draw(); });
  show();
  return make("label", {}, label, input, said);
}

function sliders() {
  const bone = name => {
    asked.bones[name] = [0, 0, 0];
    return ["x", "y", "z"].map((axis, c) => slider(`${name} ${axis}`, -120, 120, 1, () => 0, value => { asked.bones[name][c] = value; }));
  };
  const group = (title, open, ...inside) => make("details", { open }, make("summary", {}, title), ...inside);
  const fingers = facts.bones.filter(name => name.startsWith("finger"));
  $("sliders").replaceChildren(
    group("View", true, slider("around", -180, 180, 1, () => asked.azimuth, v => { asked.azimuth = v; }), slider("above", -80, 80, 1, () => asked.elevation, v => { asked.elevation = v; }),
      slider("distance", 0.15, 2.5, 0.05, () => asked.distance, v => { asked.distance = v; }), slider("height", -1, 1, 0.05, () => asked.height, v => { asked.height = v; })),
    group("Face", false, ...facts.expressions.map(name => slider(name, 0, 1, 0.05, () => 0, v => { asked.expressions[name] = v; }))),
    group("Body", false, ...facts.bones.filter(name => !fingers.includes(name)).flatMap(bone)),
    group("Fingers", false, ...fingers.flatMap(bone)));
}

function reset() {
  Object.assign(asked, { bones: {}, expressions: {}, azimuth: 0, elevation: 6, distance: 1, height: 0 });
  sliders();
  draw();
}

async function take(file) {
  if (!file) return;
  say(`Reading ${file.name} ...`);
  try {
    motion = await (await ask(`/play/${run.id}/motion`, { method: "POST", body: file })).json();
    $("play-frame").max = motion.frames - 1; $("play-frame").value = 0;
    $("play-at").hidden = false; $("play-clip").disabled = false;
    say(`${file.name}: ${motion.skeleton}; ${motion.frames} frames at ${motion.fps} a second. Space plays it.`);
    draw();
  } catch (error) { say(error.message); }
}

async function clip(kind) {
  say("Drawing the clip: some seconds ...");
  try {
    const blob = await (await post(`/play/${run.id}/clip`, { ...wanted(), kind })).blob();
    save(blob, `${run.name.replaceAll("/", "_")}_${kind}.mp4`);
    say(`The clip is saved: ${(blob.size / 1e6).toFixed(1)} MB.`);
    document.body.dataset.clip = blob.size;
  } catch (error) { say(error.message); }
}

export function toggle() {   // plays the motion, as fast as the server draws
  if (!motion) return;
  const mine = playing = playing ? 0 : performance.now();
  (async () => {
    while (playing === mine && playing && state.tab === "play") {
      const wait = new Promise(done => setTimeout(done, 1000 / motion.fps));
      $("play-frame").value = (Number($("play-frame").value) + 1) % motion.frames;
      await draw(); await wait;
    }
  })();
}

function listen() {
  const picture = $("play-picture");
  picture.addEventListener("pointerdown", event => { picture.setPointerCapture(event.pointerId); });
  picture.addEventListener("pointermove", event => {
    if (!event.buttons) return;
    asked.azimuth = ((asked.azimuth - event.movementX / 2 + 540) % 360) - 180;
    asked.elevation = Math.max(-80, Math.min(80, asked.elevation + event.movementY / 2));
    draw();
  });
  picture.addEventListener("wheel", event => { event.preventDefault(); asked.distance = Math.max(0.15, Math.min(2.5, asked.distance * Math.exp(event.deltaY / 800))); draw(); }, { passive: false });
  $("play-base").addEventListener("change", () => { motion = null; $("play-at").hidden = true; $("play-clip").disabled = true; draw(); });
  $("play-frame").addEventListener("input", draw);
  $("play-reset").addEventListener("click", reset);
  $("play-file").addEventListener("change", () => take($("play-file").files[0]));
  $("play-turn").addEventListener("click", () => clip("turntable"));
  $("play-clip").addEventListener("click", () => clip("motion"));
  $("play-png").addEventListener("click", async () => {
    try { save(await (await post(`/play/${run.id}/picture`, wanted(1024))).blob(), `${run.name.replaceAll("/", "_")}.png`); say("The picture is saved: 1024 pixels."); }
    catch (error) { say(error.message); }
  });
  addEventListener("dragover", event => { if (state.tab === "play") event.preventDefault(); });
  addEventListener("drop", event => { if (state.tab === "play") { event.preventDefault(); take(event.dataTransfer.files[0]); } });
}

async function start() {
  run = await entry(state.run);
  motion = null; $("play-at").hidden = true; $("play-clip").disabled = true;
  const mine = run;
  let late = true;
  sayWhile(() => late && mine === run, run, say);
  try { facts = await json(`/play/${run.id}`); }
  catch (error) { $("sliders").replaceChildren(); say(error.message); document.body.dataset.played = "0"; return; }
  finally { late = false; }
  say("");
  options($("play-base"), [["frame", "of the frame below"], ["rest", "at rest"]], $("play-base").value || "frame");
  reset();
}

export async function begin() {
  listen();
  on(changed => {
    if (state.tab !== "play") return;
    if (changed.has("run") || (changed.has("tab") && run?.id !== state.run)) start();
    else if (changed.has("frame") && facts && !motion) draw();
  });
  await start();
}
