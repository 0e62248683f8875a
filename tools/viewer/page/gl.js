// Lines, points, meshes and pictures in WebGL2: what a scene has beside its splats. Cameras as everywhere here: a matrix
// from world to camera with OpenCV's axes, rows first, and K in pixels of the canvas.
const COLORED = [`#version 300 es
  layout(location=0) in vec3 place; layout(location=1) in vec4 paint; uniform mat4 toClip; uniform float size;
  out vec4 color; out vec3 at;
  void main() { gl_Position = toClip * vec4(place, 1.); gl_PointSize = size; color = paint; at = place; }`,
  `#version 300 es
  precision highp float; in vec4 color; in vec3 at; uniform int kind; uniform vec3 eye; out vec4 result;
  void main() {
    if (kind == 2) { vec2 c = gl_PointCoord - .5; if (dot(c, c) > .25) discard; }
    float light = 1.;
    if (kind == 1) { vec3 n = normalize(cross(dFdx(at), dFdy(at))); light = .35 + .65 * abs(dot(n, normalize(eye - at))); }
    result = vec4(color.rgb * light * color.a, color.a);
  }`];
const PICTURED = [`#version 300 es
  layout(location=0) in vec3 place; layout(location=2) in vec2 where; uniform mat4 toClip; out vec2 uv;
  void main() { gl_Position = toClip * vec4(place, 1.); uv = where; }`,
  `#version 300 es
  precision highp float; in vec2 uv; uniform sampler2D picture; uniform float opacity; out vec4 result;
  void main() { result = vec4(texture(picture, uv).rgb * opacity, opacity); }`];

export function lookAt(eye, target) {
  const forward = unit(minus(target, eye)), right = unit(cross(forward, [0, 1, 0])), down = cross(forward, right);
  return [right, down, forward].map(row => [...row, -dot(row, eye)]).concat([[0, 0, 0, 1]]);
}
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const minus = (a, b) => a.map((v, i) => v - b[i]);
export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
export const unit = a => { const length = Math.hypot(...a) || 1; return a.map(v => v / length); };
export const eyeOf = m => [0, 1, 2].map(c => -(m[0][c] * m[0][3] + m[1][c] * m[1][3] + m[2][c] * m[2][3]));

// World to clip space, columns first as WebGL takes it.
function toClip(viewmat, K, width, height, near = 0.02, far = 60) {
  const P = [[2 * K[0][0] / width, 2 * K[0][1] / width, 2 * K[0][2] / width - 1, 0], [0, -2 * K[1][1] / height, 1 - 2 * K[1][2] / height, 0],
    [0, 0, (far + near) / (far - near), -2 * far * near / (far - near)], [0, 0, 1, 0]];
  const result = new Float32Array(16);
  for (let r = 0; r < 4; r++) for (let c = 0; c < 4; c++) for (let k = 0; k < 4; k++) result[4 * c + r] += P[r][k] * viewmat[k][c];
  return result;
}

export class Drawer {
  constructor(canvas) {
    this.canvas = canvas;
    const gl = this.gl = canvas.getContext("webgl2", { alpha: true, antialias: true, premultipliedAlpha: true, preserveDrawingBuffer: true });
    if (!gl) throw new Error("This browser has no WebGL2, which the scene needs.");
    this.colored = this.link(...COLORED);
    this.pictured = this.link(...PICTURED);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  link(vertex, fragment) {
    const gl = this.gl, made = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source); gl.compileShader(shader); gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made) || "a program of the scene is wrong");
    return { made, at: name => gl.getUniformLocation(made, name) };
  }

  buffer(target, data) {
    const made = this.gl.createBuffer();
    this.gl.bindBuffer(target, made);
    this.gl.bufferData(target, data, this.gl.STATIC_DRAW);
    return made;
  }

  // `kind`: lines, mesh or points. Colors are bytes, three a place, or one color for all.
  shape(kind, places, colors, more = {}) {
    const gl = this.gl, count = places.length / 3, paint = new Uint8Array(4 * count), alpha = 255 * (more.opacity ?? 1);
    for (let i = 0; i < count; i++) {
      for (let c = 0; c < 3; c++) paint[4 * i + c] = colors.length > 3 ? colors[3 * i + c] : colors[c];
      paint[4 * i + 3] = alpha;
    }
    const vertices = gl.createVertexArray();
    gl.bindVertexArray(vertices);
    const buffers = [this.buffer(gl.ARRAY_BUFFER, places)];
    gl.enableVertexAttribArray(0); gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
    buffers.push(this.buffer(gl.ARRAY_BUFFER, paint));
    gl.enableVertexAttribArray(1); gl.vertexAttribPointer(1, 4, gl.UNSIGNED_BYTE, true, 0, 0);
    if (more.faces) buffers.push(this.buffer(gl.ELEMENT_ARRAY_BUFFER, more.faces));
    gl.bindVertexArray(null);
    return { kind, vertices, buffers, count: more.faces ? more.faces.length : count, indexed: !!more.faces, size: more.size ?? 2, through: !!more.through };
  }

  picture(corners, image) {
    const gl = this.gl, vertices = gl.createVertexArray(), texture = gl.createTexture();
    gl.bindVertexArray(vertices);
    const buffers = [this.buffer(gl.ARRAY_BUFFER, corners)];
    gl.enableVertexAttribArray(0); gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
    buffers.push(this.buffer(gl.ARRAY_BUFFER, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1])));
    gl.enableVertexAttribArray(2); gl.vertexAttribPointer(2, 2, gl.FLOAT, false, 0, 0);
    gl.bindVertexArray(null);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
    for (const [name, value] of [[gl.TEXTURE_MIN_FILTER, gl.LINEAR], [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE]]) gl.texParameteri(gl.TEXTURE_2D, name, value);
    return { kind: "picture", vertices, buffers, texture };
  }

  forget(shape) {
    if (!shape) return;
    shape.buffers.forEach(buffer => this.gl.deleteBuffer(buffer));
    this.gl.deleteVertexArray(shape.vertices);
    if (shape.texture) this.gl.deleteTexture(shape.texture);
  }

  draw(shapes, viewmat, K, opacity) {
    const gl = this.gl, { width, height } = this.canvas, matrix = toClip(viewmat, K, width, height);
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.enable(gl.DEPTH_TEST);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const order = { mesh: 0, points: 1, lines: 2, picture: 3 }, rank = shape => order[shape.kind] + (shape.through ? 4 : 0);
    for (const shape of [...shapes].sort((a, b) => rank(a) - rank(b))) {
      gl[shape.through ? "disable" : "enable"](gl.DEPTH_TEST);   // landmarks lie in the body and are seen all the same
      const program = shape.kind === "picture" ? this.pictured : this.colored;
      gl.useProgram(program.made);
      gl.uniformMatrix4fv(program.at("toClip"), false, matrix);
      gl.bindVertexArray(shape.vertices);
      if (shape.kind === "picture") {
        gl.bindTexture(gl.TEXTURE_2D, shape.texture);
        gl.uniform1f(program.at("opacity"), opacity);
        gl.depthMask(false);
        gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
        gl.depthMask(true);
        continue;
      }
      gl.uniform1f(program.at("size"), shape.size * (devicePixelRatio || 1));
      gl.uniform1i(program.at("kind"), { lines: 0, mesh: 1, points: 2 }[shape.kind]);
      gl.uniform3fv(program.at("eye"), eyeOf(viewmat));
      const how = { lines: gl.LINES, mesh: gl.TRIANGLES, points: gl.POINTS }[shape.kind];
      if (shape.indexed) gl.drawElements(how, shape.count, gl.UNSIGNED_INT, 0);
      else gl.drawArrays(how, 0, shape.count);
    }
    gl.bindVertexArray(null);
  }
}
