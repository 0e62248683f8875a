/**
 * Gaussians in WebGL2, by the rules of simulacra's own rasterizer (`render.gaussians.reference`).
 *
 *   const renderer = new SplatRenderer(canvas);     // throws an Error where there is no WebGL2
 *   renderer.load(gaussians, rig);                  // the rig may be left out: Gaussians that stand still
 *   renderer.setPose(matrices);                     // with a rig: what each bone does to the rest pose
 *   renderer.setExpression(weights);                // with a rig: how strong each facial action is
 *   renderer.setCamera(viewmat, K);
 *   await renderer.render([1, 1, 1, 1]);            // sorted for this very view, then drawn: for pictures
 *   renderer.frame([1, 1, 1, 1]);                   // drawn now, sorted meanwhile: for every animation frame
 *   renderer.readPixels();                          // 4 w h bytes, red green blue alpha, the upper row first
 *
 * All arrays are flat and rows first; metres; quaternions wxyz.
 *   gaussians = {means: Float32Array(3n), quats: Float32Array(4n), scales: Float32Array(3n) (standard deviations),
 *     opacities: Float32Array(n) (0 to 1), sh: Float32Array(3kn) (k = 1, 4, 9 or 16 coefficients of red green blue),
 *     eps2d: 0.1 (px^2 on the diagonal of the screen's covariance), antialiased: false}
 *   rig = {bones: Uint8Array or Uint16Array(mn), weights: Float32Array(mn) (the strongest first; rows sum to 1),
 *     influences: m (at most 8), boneCount, actions: [{indices: Uint32Array(a), offsets: Float32Array(3a)}, ...]}
 *     (an action moves the Gaussians `indices` by `offsets`, at rest, times its weight)
 *   matrices: Float32Array(12 boneCount), three rows of four; rotations are taken from them
 *   viewmat: 16 numbers, world to camera with OpenCV's axes (x right, y down, z forward)
 *   K: 9 numbers in pixels of the canvas (canvas.width and .height); the corner of the picture is (0, 0)
 * The spherical harmonics stay in the world's axes: they are not turned by the bones (simulacra's rule).
 *
 * Blending is in half floats where the browser can, else in the canvas' bytes (`renderer.halfFloat` says which). Set
 * `renderer.onrestored` to be told when a lost context was built anew and wants to be drawn again.
 */
import {DepthSorter} from "./sort.js";
import {BONE_BITS, COPY, FULL_SCREEN, INFLUENCES, PROJECT, QUAD, SPLAT, STRIDE, WHOLE, WIDTH} from "./shaders.js";

const STILL = {influences: 0, bones: new Uint8Array(0), weights: new Float32Array(0), boneCount: 1, actions: []};

export class SplatRenderer {
  constructor(canvas, {halfFloat = true} = {}) {
    this.canvas = canvas;
    const options = {alpha: true, antialias: false, depth: false, premultipliedAlpha: true};
    this.gl = canvas.getContext("webgl2", options);
    if (!this.gl) throw new Error("this browser has no WebGL2, which drawing Gaussians needs");
    this.wanted = halfFloat;
    this.sorter = new DepthSorter();
    this.lost = event => event.preventDefault();
    this.restored = () => { this.setUp(); if (this.scene) this.load(...this.scene); this.onrestored?.(); };
    canvas.addEventListener("webglcontextlost", this.lost);
    canvas.addEventListener("webglcontextrestored", this.restored);
    this.setUp();
  }

  setUp() {
    const gl = this.gl;
    this.halfFloat = this.wanted && !!gl.getExtension("EXT_color_buffer_float");
    this.programs = {project: link(gl, FULL_SCREEN, PROJECT), splat: link(gl, QUAD, SPLAT), copy: link(gl, FULL_SCREEN, COPY)};
    this.target = null;
    this.textures = {};
    this.vertices = gl.createVertexArray();
    this.indices = gl.createBuffer();
    this.projected = gl.createFramebuffer();
    this.blended = gl.createFramebuffer();
  }

  /** Takes Gaussians and their rig; what was there before is gone. */
  load(gaussians, rig = null) {
    const count = gaussians.means.length / 3, held = rig ?? STILL;
    const k = gaussians.sh.length / (3 * count), limit = this.gl.getParameter(this.gl.MAX_TEXTURE_SIZE) * WIDTH;
    if (count * (STRIDE + k) > limit) throw new Error(`${count} Gaussians are more than this device's textures hold`);
    if (held.influences > INFLUENCES || held.boneCount > 2 ** BONE_BITS) throw new Error("too many bones or influences");
    this.scene = [gaussians, rig];
    Object.assign(this, {gaussians, rig: held, count, coefficients: k, drawable: false, view: null});
    this.acted = Uint32Array.from(new Set(held.actions.flatMap(action => Array.from(action.indices)))).sort();
    const slots = new Uint32Array(count);
    this.acted.forEach((gaussian, slot) => { slots[gaussian] = slot + 1; });
    this.actions = held.actions.map(({indices, offsets}) => ({slots: Uint32Array.from(indices, i => slots[i] - 1), offsets}));
    this.fillTextures(slots);
    const corners = new Uint32Array(6 * count);
    for (let i = 0; i < count; i++) for (let c = 0; c < 6; c++) corners[6 * i + c] = 4 * i + [0, 1, 2, 2, 1, 3][c];
    this.gl.bindVertexArray(this.vertices);
    this.gl.bindBuffer(this.gl.ELEMENT_ARRAY_BUFFER, this.indices);
    this.gl.bufferData(this.gl.ELEMENT_ARRAY_BUFFER, corners, this.gl.STATIC_DRAW);
    this.gl.bindVertexArray(null);
    const {influences, bones, weights} = held;
    this.sorter.load({count, means: gaussians.means, acted: this.acted, influences, bones, weights});
    this.setPose(identities(held.boneCount));
    this.setExpression([]);
  }

  fillTextures(slots) {
    const gl = this.gl, {means, quats, scales, opacities, sh} = this.gaussians, {influences, bones, weights} = this.rig;
    const {count, coefficients} = this, stride = 4 * (STRIDE + coefficients);
    for (const texture of Object.values(this.textures)) gl.deleteTexture(texture);
    const still = table(Float32Array, count * (STRIDE + coefficients)), moves = table(Uint32Array, 2 * count);
    for (let i = 0; i < count; i++) {
      const length = Math.hypot(...quats.subarray(4 * i, 4 * i + 4));
      for (let c = 0; c < 3; c++) still[stride * i + c] = means[3 * i + c];
      still[stride * i + 3] = opacities[i];
      for (let c = 0; c < 3; c++) still[stride * i + 4 + c] = scales[3 * i + c];
      still[stride * i + 7] = slots[i];
      for (let c = 0; c < 4; c++) still[stride * i + 8 + c] = quats[4 * i + c] / length;
      for (let c = 0; c < 3 * coefficients; c++)
        still[stride * i + 4 * STRIDE + 4 * Math.floor(c / 3) + c % 3] = sh[3 * coefficients * i + c];
      for (let c = 0; c < influences; c++)
        moves[8 * i + c] = Math.round(weights[influences * i + c] * WHOLE) * 2 ** BONE_BITS + bones[influences * i + c];
    }
    this.bones = new Float32Array(16 * this.rig.boneCount);
    this.moved = table(Float32Array, Math.max(1, this.acted.length));
    this.order = table(Uint32Array, count, 1);
    const rows = Math.ceil(count / WIDTH) || 1, none = null, words = [gl.RGBA32UI, gl.RGBA_INTEGER, gl.UNSIGNED_INT];
    this.textures = {
      still: this.texture(gl.RGBA32F, WIDTH, still.length / WIDTH / 4, gl.RGBA, gl.FLOAT, still),
      influences: this.texture(words[0], WIDTH, moves.length / WIDTH / 4, words[1], words[2], moves),
      bones: this.texture(gl.RGBA32F, 4, this.rig.boneCount, gl.RGBA, gl.FLOAT, this.bones),
      moved: this.texture(gl.RGBA32F, WIDTH, this.moved.length / WIDTH / 4, gl.RGBA, gl.FLOAT, this.moved),
      orders: this.texture(gl.R32UI, WIDTH, rows, gl.RED_INTEGER, gl.UNSIGNED_INT, this.order),
    };
    // Words that hold floats: targets of whole numbers are there without an extension, those of floats are not.
    const outputs = ["boxes", "shapes", "paints"];
    for (const name of outputs) this.textures[name] = this.texture(words[0], WIDTH, rows, words[1], words[2], none);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.projected);
    const places = outputs.map((_, i) => gl.COLOR_ATTACHMENT0 + i);
    outputs.forEach((name, i) => gl.framebufferTexture2D(gl.FRAMEBUFFER, places[i], gl.TEXTURE_2D, this.textures[name], 0));
    gl.drawBuffers(places);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  texture(inner, width, height, format, type, data) {
    const gl = this.gl, made = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, made);
    for (const which of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, which, gl.NEAREST);
    gl.texImage2D(gl.TEXTURE_2D, 0, inner, width, height, 0, format, type, data);
    return made;
  }

  /** Takes what each bone does to the rest pose. Nothing moves where no rig was given. */
  setPose(matrices) {
    const gl = this.gl;
    for (let j = 0; j < this.rig.boneCount; j++) {
      const matrix = matrices.slice(12 * j, 12 * j + 12);
      this.bones.set(matrix, 16 * j);
      this.bones.set(quatOf(matrix), 16 * j + 12);
    }
    gl.bindTexture(gl.TEXTURE_2D, this.textures.bones);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 4, this.rig.boneCount, gl.RGBA, gl.FLOAT, this.bones);
    this.stale = true;
  }

  /** Takes the strength of each facial action, in the rig's order; those that are left out are 0. */
  setExpression(weights) {
    const gl = this.gl, moved = this.moved.fill(0);
    this.actions.forEach(({slots, offsets}, e) => {
      const weight = weights[e] ?? 0;
      if (weight) slots.forEach((slot, i) => { for (let c = 0; c < 3; c++) moved[4 * slot + c] += weight * offsets[3 * i + c]; });
    });
    gl.bindTexture(gl.TEXTURE_2D, this.textures.moved);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, WIDTH, moved.length / WIDTH / 4, gl.RGBA, gl.FLOAT, moved);
    this.stale = true;
  }

  /** Takes the camera; K is in pixels of the canvas as large as it then is. */
  setCamera(viewmat, K) {
    const view = Float32Array.from(viewmat.flat()), [fx, , cx, , fy, cy] = K.flat();
    const eye = [0, 1, 2].map(c => -(view[c] * view[3] + view[4 + c] * view[7] + view[8 + c] * view[11]));
    this.view = view;
    this.camera = {eye, intrinsics: [fx, fy, cx, cy]};
    this.stale = true;
  }

  /** Orders the Gaussians for the camera and pose that are set; while it is at it, another call waits for the same. */
  sort() {
    this.sorting ??= this.sortNow().finally(() => { this.sorting = null; });
    return this.sorting;
  }

  async sortNow() {
    const gl = this.gl, [a, b, c, d] = this.view.subarray(8, 12), bones = this.bones, scene = this.scene;
    const rows = new Float32Array(4 * this.rig.boneCount);
    if (!this.rig.influences) rows.set([a, b, c, d]);
    else for (let i = 0; i < rows.length; i++) {
      const at = 16 * (i >> 2) + (i & 3);
      rows[i] = a * bones[at] + b * bones[at + 4] + c * bones[at + 8] + ((i & 3) === 3 ? d : 0);
    }
    const {order, milliseconds} = await this.sorter.sort({rows, moved: this.moved.slice()});
    if (scene !== this.scene) return;   // others were loaded meanwhile
    this.order.set(order);
    this.sortMilliseconds = milliseconds;
    gl.bindTexture(gl.TEXTURE_2D, this.textures.orders);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, WIDTH, this.order.length / WIDTH, gl.RED_INTEGER, gl.UNSIGNED_INT, this.order);
    this.drawable = true;
  }

  /** Sorts for what is set now and draws it. */
  async render(background) {
    await this.sorting;
    await this.sort();
    this.draw(background);
  }

  /** Draws what is set now in the order of the last finished sort, and has the next one begun. */
  frame(background) {
    if (this.drawable) this.draw(background);
    return this.sort();
  }

  /** Draws over a background (red green blue alpha, 0 to 1, premultiplied), in the order that was last found. */
  draw(background = [0, 0, 0, 0]) {
    const gl = this.gl, {width, height} = this.canvas;
    this.background = background;
    if (this.stale) this.project(width, height);
    if (this.halfFloat) this.fitTarget(width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.halfFloat ? this.blended : null);
    gl.viewport(0, 0, width, height);
    gl.clearColor(...background);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const use = this.use(this.programs.splat, {orders: this.textures.orders, boxes: this.textures.boxes,
      shapes: this.textures.shapes, paints: this.textures.paints});
    gl.uniform2f(use("size"), width, height);
    gl.bindVertexArray(this.vertices);
    gl.drawElements(gl.TRIANGLES, 6 * this.count, gl.UNSIGNED_INT, 0);
    gl.bindVertexArray(null);
    gl.disable(gl.BLEND);
    if (!this.halfFloat) return;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    this.use(this.programs.copy, {picture: this.target.texture});
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  project(width, height) {
    const gl = this.gl, {still, influences, bones, moved} = this.textures, {eps2d = .1, antialiased = false} = this.gaussians;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.projected);
    gl.viewport(0, 0, WIDTH, Math.ceil(this.count / WIDTH));
    const use = this.use(this.programs.project, {still, influences, bones, moved});
    gl.uniform1i(use("count"), this.count);
    gl.uniform1i(use("coefficients"), this.coefficients);
    gl.uniform1i(use("rigged"), this.rig.influences > 0);
    gl.uniform1i(use("antialiased"), antialiased);
    gl.uniform1f(use("dilation"), eps2d);
    gl.uniformMatrix4fv(use("view"), true, this.view);
    gl.uniform3f(use("eye"), ...this.camera.eye);
    gl.uniform4f(use("intrinsics"), ...this.camera.intrinsics);
    gl.uniform2f(use("size"), width, height);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    this.stale = false;
  }

  fitTarget(width, height) {
    const gl = this.gl;
    if (this.target?.width === width && this.target.height === height) return;
    if (this.target) gl.deleteTexture(this.target.texture);
    this.target = {width, height, texture: this.texture(gl.RGBA16F, width, height, gl.RGBA, gl.HALF_FLOAT, null)};
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.blended);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.target.texture, 0);
    this.stale = true;
  }

  use(program, textures) {
    const gl = this.gl, find = name => program.places[name] ??= gl.getUniformLocation(program.made, name);
    gl.useProgram(program.made);
    Object.entries(textures).forEach(([name, texture], unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.uniform1i(find(name), unit);
    });
    gl.activeTexture(gl.TEXTURE7);   // uploads bind here, where no pass looks
    return find;
  }

  /** The picture as `draw` made it last, drawn again: 4 w h bytes, the upper row first. */
  readPixels() {
    const gl = this.gl, {width, height} = this.canvas, row = 4 * width;
    this.draw(this.background);
    const below = new Uint8Array(row * height), picture = new Uint8ClampedArray(row * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, below);
    for (let y = 0; y < height; y++) picture.set(below.subarray(row * (height - 1 - y), row * (height - y)), row * y);
    return picture;
  }

  /** Gives the memory of the card back. */
  dispose() {
    this.sorter.dispose();
    this.canvas.removeEventListener("webglcontextlost", this.lost);
    this.canvas.removeEventListener("webglcontextrestored", this.restored);
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

function link(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader) ?? "no shader");
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made) ?? "no program");
  return {made, places: {}};
}

// Room for whole rows of texels.
function table(Kind, texels, channels = 4) {
  return new Kind(Math.max(1, Math.ceil(texels / WIDTH)) * WIDTH * channels);
}

function identities(count) {
  return Float32Array.from({length: 12 * count}, (_, i) => +(i % 12 % 5 === 0));
}

/** The rotation of three rows of four as a unit quaternion wxyz (Shepperd's method: the largest part first). */
export function quatOf(m) {
  const [a, b, c, , d, e, f, , g, h, i] = m, parts = [a + e + i, a - e - i, e - a - i, i - a - e];
  const largest = parts.indexOf(Math.max(...parts)), s = 2 * Math.sqrt(1 + parts[largest]), [x, y, z] = [h - f, c - g, d - b];
  const rows = [[s / 4, x / s, y / s, z / s], [x / s, s / 4, (b + d) / s, (c + g) / s],
    [y / s, (b + d) / s, s / 4, (f + h) / s], [z / s, (c + g) / s, (f + h) / s, s / 4]];
  return rows[largest];
}
