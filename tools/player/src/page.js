/** The page of the player: what it shows, and what its buttons do. `window.player` is there for tests and the console. */
import {readAvatar} from "./avatar.js";
import {Orbit} from "./orbit.js";
import {boneMatrices, triple} from "./rig.js";
import {SplatRenderer} from "./splats.js";

const find = id => document.getElementById(id);
const SHARPEST = 2;        // pixels of the canvas in one of the page, at most
const FOLLOW = .08;        // how much of its way the camera goes after the person in a picture
const JOINTS = [["head", "head"], ["neck02", "neck"], ["spine03", "spine"], ["root", "whole person"],
  ...["L", "R"].flatMap(side => [["clavicle", "shoulder"], ["upperarm01", "upper arm"], ["lowerarm01", "forearm"],
    ["wrist", "hand"], ["upperleg01", "thigh"], ["lowerleg01", "shin"], ["foot", "foot"]]
    .map(([bone, name]) => [`${bone}.${side}`, `${name} ${side}`]))];
const PARTS = ["rotations", "translation", "expression"];

async function content() {
  const inside = find("avatar");
  if (!inside.dataset.file) return Uint8Array.from(atob(inside.textContent.trim()), letter => letter.charCodeAt(0)).buffer;
  if (location.protocol === "file:") throw new Error("A browser does not let a page read the files beside it. Serve the "
    + "folder (python -m http.server), or export one single file: --out person.html");
  const answer = await fetch(inside.dataset.file);
  if (!answer.ok) throw new Error(`${inside.dataset.file}: ${answer.status} ${answer.statusText}`);
  return answer.arrayBuffer();
}

class Player {
  constructor(avatar, canvas) {
    this.avatar = avatar;
    this.canvas = canvas;
    this.renderer = new SplatRenderer(canvas);
    this.renderer.load(avatar.gaussians, avatar.rig);
    this.renderer.onrestored = () => this.change();
    this.frames = (avatar.arrays["motion.translation"]?.length ?? 0) / 3;
    this.fps = avatar.header.fps ?? 30;
    this.turned = new Map();                                       // by the sliders
    this.pulled = new Float32Array(avatar.header.actions?.length ?? 0);
    this.live = null;                                              // what a camera sees of the visitor
    this.frame = this.frames ? 0 : -1;                             // -1: the neutral pose
    this.moved = [0, 0, 0];
    this.version = 1;
    this.drawn = this.drawnOrder = 0;
    this.follow = true;
    this.orbit = new Orbit(canvas, () => this.change());
    this.background = [1, 1, 1, 1];
  }

  change() { this.version++; }

  /** The pose of a frame, or the neutral one: rotations, translation, expression. */
  base(frame) {
    const {arrays, header} = this.avatar, group = frame < 0 ? "neutral" : "motion", at = Math.max(0, frame);
    const lengths = [3 * header.bones.length, 3, this.pulled.length];
    return PARTS.map((part, i) => arrays[`${group}.${part}`]?.subarray(lengths[i] * at, lengths[i] * (at + 1))
      ?? new Float32Array(lengths[i]));
  }

  setPose() {
    const [rotations, translation, expression] = this.base(this.frame);
    const more = new Map([...this.live?.rotations ?? [], ...this.turned]);
    const strengths = expression.map((value, e) => Math.max(0, Math.min(1, (this.live?.expression?.[e] ?? value) + this.pulled[e])));
    this.renderer.setPose(boneMatrices(this.avatar, this.live ? new Float32Array(rotations.length) : rotations, translation, more));
    this.renderer.setExpression(strengths);
    return translation;
  }

  /** One picture, exact, of a given pose and camera: rows of pixels, as `SplatRenderer.readPixels` has them. */
  async picture({rotations, translation, expression, viewmat, K, width, height, background = [0, 0, 0, 1]}) {
    this.held = true;
    Object.assign(this.canvas, {width, height});
    this.renderer.setPose(boneMatrices(this.avatar, rotations, translation));
    this.renderer.setExpression(expression);
    this.renderer.setCamera(viewmat, K);
    await this.renderer.render(background);
    const pixels = this.renderer.readPixels();
    this.held = false;
    this.change();
    return pixels;
  }

  tick(now) {
    requestAnimationFrame(time => this.tick(time));
    if (this.held) return;
    if (this.playing) this.advance(now);
    this.fit();
    const renderer = this.renderer;
    if (this.drawn === this.version && this.drawnOrder === renderer.sortedFor) {
      if (!renderer.settled) renderer.sort();
      return;
    }
    if (this.drawn !== this.version) this.setView();
    this.drawnOrder = renderer.sortedFor;
    renderer.frame(this.background);
    this.count(now);
  }

  // Pose and camera; the camera goes after the person, so much of the way in each picture.
  setView() {
    this.drawn = this.version;
    const translation = this.setPose(), home = this.base(this.frames ? 0 : -1)[1];
    const away = [translation[0] - home[0], 0, translation[2] - home[2]].map(value => this.follow ? value : 0);
    const left = away.map((value, c) => value - this.moved[c]);
    this.moved = this.moved.map((value, c) => value + FOLLOW * left[c]);
    this.renderer.setCamera(...this.orbit.camera(this.canvas.width, this.canvas.height, this.moved));
    if (Math.hypot(...left) > .002) this.change();
  }

  advance(now) {
    this.started ??= now - this.frame / this.fps * 1000;
    const frame = Math.floor((now - this.started) / 1000 * this.fps) % this.frames;
    if (frame !== this.frame) this.show(frame);
  }

  show(frame) {
    this.frame = frame;
    find("time").value = frame;
    find("time").setAttribute("aria-valuetext", `frame ${frame} of ${this.frames}`);
    this.change();
  }

  play(playing) {
    this.playing = playing && this.frames > 1;
    this.started = null;
    if (this.playing && this.frame < 0) this.frame = 0;
    find("play").textContent = this.playing ? "Pause" : "Play";
  }

  // As many pixels as the screen has for it.
  fit() {
    const sharp = Math.min(SHARPEST, devicePixelRatio);
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight].map(side => Math.max(1, Math.round(side * sharp)));
    if (this.canvas.width === width && this.canvas.height === height) return;
    Object.assign(this.canvas, {width, height});
    this.orbit.touched ? this.change() : home(this);
  }

  count(now) {
    this.times = [...this.times ?? [], now].slice(-30);
    const seconds = (now - this.times[0]) / 1000;
    const rate = this.playing && seconds > .5 ? `${((this.times.length - 1) / seconds).toFixed(0)} pictures/s` : "";
    if (now - (this.told ?? 0) > 500 || !rate) { find("rate").textContent = rate; this.told = now; }
  }
}

function slider(parent, name, low, high, step, changed) {
  const label = document.createElement("label"), text = document.createElement("span"), input = document.createElement("input");
  text.textContent = name;
  Object.assign(input, {type: "range", min: low, max: high, step, value: 0});
  input.addEventListener("input", () => changed(+input.value));
  label.append(text, input);
  parent.append(label);
  return input;
}

function addPose(player) {
  const names = player.avatar.header.bones, choice = find("joint");
  const known = JOINTS.filter(([bone]) => names.includes(bone));
  for (const [bone, name] of known.length ? known : names.map(name => [name, name])) choice.append(new Option(name, names.indexOf(bone)));
  const sliders = ["to and fro", "round", "sideways"].map((name, axis) => slider(find("turns"), name, -120, 120, 1, degrees => {
    const turn = [...player.turned.get(+choice.value) ?? [0, 0, 0]];
    turn[axis] = degrees * Math.PI / 180;
    player.turned.set(+choice.value, turn);
    player.change();
  }));
  const show = () => sliders.forEach((input, axis) => {
    input.value = Math.round((player.turned.get(+choice.value)?.[axis] ?? 0) * 180 / Math.PI);
  });
  choice.addEventListener("change", show);
  find("untwist").addEventListener("click", () => { player.turned.clear(); show(); player.change(); });
}

function addFace(player) {
  const names = player.avatar.header.actions ?? [];
  const inputs = names.map((name, e) => {
    const words = name.replace(/([A-Z])/g, letter => ` ${letter.toLowerCase()}`);
    return slider(find("actions"), words, 0, 1, .01, value => { player.pulled[e] = value; player.change(); });
  });
  find("relax").addEventListener("click", () => {
    player.pulled.fill(0);
    for (const input of inputs) input.value = 0;
    player.change();
  });
  find("face").hidden = !names.length;
}

function addMotion(player) {
  find("motion").hidden = player.frames < 2;
  find("time").max = player.frames - 1;
  find("play").addEventListener("click", () => player.play(!player.playing));
  find("time").addEventListener("input", () => { player.play(false); player.show(+find("time").value); });
  find("neutral").addEventListener("click", () => { player.play(false); player.frame = -1; player.change(); });
  find("follow").addEventListener("change", event => { player.follow = event.target.checked; player.change(); });
}

function addView(player) {
  find("home").addEventListener("click", () => home(player));
  find("full").hidden = !document.fullscreenEnabled;
  find("full").addEventListener("click", () => document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());
  find("dark").addEventListener("change", event => { player.background = event.target.checked ? [.08, .08, .09, 1] : [1, 1, 1, 1]; player.change(); });
  find("panel-button").addEventListener("click", () => {
    const open = document.body.classList.toggle("open");
    find("panel-button").setAttribute("aria-expanded", open);
  });
  addEventListener("keydown", event => {
    if (event.key === " " && !event.target.closest("button, input, select, summary")) { event.preventDefault(); player.play(!player.playing); }
  });
}

// From in front of the person as they stand in the first picture.
function home(player) {
  const {means, opacities} = player.avatar.gaussians, [rotations, translation] = player.base(player.frames ? 0 : -1);
  const matrices = boneMatrices(player.avatar, rotations, translation), {bones, influences} = player.avatar.rig;
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < opacities.length; i += 7) {
    if (opacities[i] < .5) continue;
    const at = 12 * bones[influences * i], mean = triple(means, i);
    for (let c = 0; c < 3; c++) {
      const m = matrices.subarray(at + 4 * c, at + 4 * c + 4), value = m[0] * mean[0] + m[1] * mean[1] + m[2] * mean[2] + m[3];
      low[c] = Math.min(low[c], value);
      high[c] = Math.max(high[c], value);
    }
  }
  player.moved = [0, 0, 0];
  player.fit();
  player.orbit.frame(low, high, player.canvas.width / player.canvas.height);
}

async function addLive(player) {
  const address = find("live").dataset.module;
  if (!address) return;
  find("live").hidden = false;
  find("live-button").addEventListener("click", async () => {
    find("live-button").disabled = true;
    try {
      player.session ??= await import(new URL(address, document.baseURI));
      const on = await player.session.toggle(player, find("live-video"));
      find("live-button").textContent = on ? "Stop the camera" : "Start the camera";
      find("live-state").textContent = on ? "The pictures stay in this page." : "";
    } catch (error) { find("live-state").textContent = `${error.message ?? error}`; }
    find("live-button").disabled = false;
  });
}

async function main() {
  const player = new Player(await readAvatar(await content()), find("canvas"));
  window.player = player;
  for (const add of [addPose, addFace, addMotion, addView, addLive]) add(player);
  home(player);
}

main().then(() => {
  requestAnimationFrame(now => window.player.tick(now));
  find("waiting").hidden = true;
  window.player.ready = true;
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) window.player.play(true);
}, error => {
  find("waiting").textContent = error.message;
  find("waiting").setAttribute("role", "alert");
  window.playerFailed = error.message;
});
