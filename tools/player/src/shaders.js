/**
 * The three passes of `splats.js`, as GLSL ES 3.00: `PROJECT` one fragment a Gaussian, `QUAD` and `SPLAT` its square on
 * the screen, `COPY` the finished picture. Thresholds and signs are those of simulacra's `render.gaussians.reference`.
 */
export const WIDTH = 2048;      // texels in a row of all tables
export const STRIDE = 3;        // texels of a Gaussian before its spherical harmonics
export const INFLUENCES = 8;    // bones that move a Gaussian, at most
export const BONE_BITS = 10;    // of an influence; the other 22 are its weight
export const WHOLE = 2 ** (32 - BONE_BITS) - 1;

const HEAD = `#version 300 es
precision highp float; precision highp int; precision highp sampler2D; precision highp usampler2D;
ivec2 place(int i) { return ivec2(i & ${WIDTH - 1}, i / ${WIDTH}); }
`;

export const FULL_SCREEN = `#version 300 es
void main() { gl_Position = vec4(gl_VertexID == 1 ? 3. : -1., gl_VertexID == 2 ? 3. : -1., 0., 1.); }`;

const HARMONICS = `
uniform int coefficients;
vec3 coefficient(int i, int k) { return texelFetch(still, place(i * (${STRIDE} + coefficients) + ${STRIDE} + k), 0).rgb; }
vec3 colorOf(int i, vec3 d) {
  vec3 c = .28209479177387814 * coefficient(i, 0);
  float x = d.x, y = d.y, z = d.z, xx = x*x, yy = y*y, zz = z*z;
  if (coefficients > 1) c += .4886025119029199 * (-y * coefficient(i, 1) + z * coefficient(i, 2) - x * coefficient(i, 3));
  if (coefficients > 4) c += 1.0925484305920792 * (x*y * coefficient(i, 4) - y*z * coefficient(i, 5)
    - x*z * coefficient(i, 7)) + .31539156525252005 * (2.*zz - xx - yy) * coefficient(i, 6)
    + .5462742152960396 * (xx - yy) * coefficient(i, 8);
  if (coefficients > 9) c += -.5900435899266435 * (y*(3.*xx - yy) * coefficient(i, 9) + x*(xx - 3.*yy) * coefficient(i, 15))
    + 2.890611442640554 * x*y*z * coefficient(i, 10) + .3731763325901154 * z*(2.*zz - 3.*xx - 3.*yy) * coefficient(i, 12)
    - .4570457994644658 * (4.*zz - xx - yy) * (y * coefficient(i, 11) + x * coefficient(i, 13))
    + 1.445305721320277 * z*(xx - yy) * coefficient(i, 14);
  return max(.5 + c, 0.);
}`;

const SKIN = `
uniform bool rigged; uniform usampler2D influences; uniform sampler2D bones, moved;
vec4 times(vec4 a, vec4 b) {   // quaternions wxyz
  return vec4(a.x*b.x - dot(a.yzw, b.yzw), a.x*b.yzw + b.x*a.yzw + cross(a.yzw, b.yzw));
}
void skin(int i, int slot, inout vec3 center, inout vec4 quat) {
  if (!rigged) return;
  if (slot > 0) center += texelFetch(moved, place(slot - 1), 0).xyz;
  vec4 x = vec4(center, 1.), first, turn = vec4(0.); vec3 p = vec3(0.); float total = 0.;
  for (int k = 0; k < ${INFLUENCES}; k++) {
    uint word = texelFetch(influences, place(2*i + (k >> 2)), 0)[k & 3];
    float w = float(word >> ${BONE_BITS}); if (w == 0.) break;
    int j = int(word & ${2 ** BONE_BITS - 1}u);
    vec4 q = texelFetch(bones, ivec2(3, j), 0); if (k == 0) first = q;
    p += w * vec3(dot(texelFetch(bones, ivec2(0, j), 0), x), dot(texelFetch(bones, ivec2(1, j), 0), x),
                  dot(texelFetch(bones, ivec2(2, j), 0), x));
    turn += (dot(q, first) >= 0. ? w : -w) * q; total += w;
  }
  center = p / total; quat = times(normalize(turn), quat);
}`;

export const PROJECT = HEAD + `
uniform sampler2D still; uniform int count; uniform mat4 view; uniform vec3 eye; uniform vec4 intrinsics;
uniform vec2 size; uniform float dilation; uniform bool antialiased;
layout(location=0) out uvec4 box; layout(location=1) out uvec4 shape; layout(location=2) out uvec4 paint;
${SKIN}${HARMONICS}
mat3 rotation(vec4 q) { float w = q.x, x = q.y, y = q.z, z = q.w;
  return mat3(1.-2.*(y*y+z*z), 2.*(x*y+w*z), 2.*(x*z-w*y), 2.*(x*y-w*z), 1.-2.*(x*x+z*z), 2.*(y*z+w*x),
              2.*(x*z+w*y), 2.*(y*z-w*x), 1.-2.*(x*x+y*y)); }
void main() {
  int i = int(gl_FragCoord.y) * ${WIDTH} + int(gl_FragCoord.x), at = i * (${STRIDE} + coefficients);
  box = shape = paint = uvec4(0u); if (i >= count) return;
  vec4 m = texelFetch(still, place(at), 0), s = texelFetch(still, place(at + 1), 0);
  vec4 q = texelFetch(still, place(at + 2), 0); vec3 center = m.xyz; float alpha = m.w;
  skin(i, int(s.w), center, q);
  vec3 c = (view * vec4(center, 1.)).xyz; if (!(c.z > .01)) return;
  vec2 f = intrinsics.xy, o = intrinsics.zw, uv = clamp(c.xy / c.z, (-o - .15*size) / f, (size - o + .15*size) / f);
  mat3 axes = mat3(view) * rotation(q) * mat3(s.x, 0., 0., 0., s.y, 0., 0., 0., s.z);
  vec3 u0 = vec3(f.x, 0., -f.x * uv.x) / c.z * axes, u1 = vec3(0., f.y, -f.y * uv.y) / c.z * axes, n = cross(u0, u1);
  float raw = dot(n, n), xx = dot(u0, u0), yy = dot(u1, u1), xy = dot(u0, u1);
  float det = raw + dilation * (xx + yy) + dilation * dilation;   // Lagrange's identity: cannot cancel
  if (antialiased) alpha *= sqrt(raw / det);
  if (alpha < 1./255. || !(det < 1e30)) return;
  xx += dilation; yy += dilation; float reach = sqrt(2. * log(255. * alpha));
  box = floatBitsToUint(vec4(f * c.xy / c.z + o, max(reach * sqrt(vec2(xx, yy)), 1e-6)));
  shape = floatBitsToUint(vec4(vec3(yy, -xy, xx) / det, alpha));
  paint = floatBitsToUint(vec4(colorOf(i, normalize(center - eye)), 0.));
}`;

export const QUAD = HEAD + `
uniform usampler2D orders, boxes, shapes, paints; uniform vec2 size;
out vec2 away; flat out vec4 color; flat out vec3 conic;
void main() {
  ivec2 t = place(int(texelFetch(orders, place(gl_VertexID >> 2), 0).x));
  vec4 b = uintBitsToFloat(texelFetch(boxes, t, 0)); gl_Position = vec4(2., 2., 2., 1.); if (b.z == 0.) return;
  vec4 s = uintBitsToFloat(texelFetch(shapes, t, 0)); conic = s.xyz;
  color = vec4(uintBitsToFloat(texelFetch(paints, t, 0)).rgb, s.w);
  away = (vec2(gl_VertexID & 1, gl_VertexID >> 1 & 1) * 2. - 1.) * b.zw; vec2 at = b.xy + away;
  gl_Position = vec4(at.x / size.x * 2. - 1., 1. - at.y / size.y * 2., 0., 1.);
}`;

export const SPLAT = HEAD + `
in vec2 away; flat in vec4 color; flat in vec3 conic; out vec4 fragment;
void main() {
  float power = conic.x * away.x*away.x + 2. * conic.y * away.x*away.y + conic.z * away.y*away.y;
  float alpha = min(.999, color.a * exp(-.5 * power)); if (alpha < 1./255.) discard;
  fragment = vec4(color.rgb * alpha, alpha);
}`;

export const COPY = HEAD + `
uniform sampler2D picture; out vec4 fragment;
void main() { fragment = clamp(texelFetch(picture, ivec2(gl_FragCoord.xy), 0), 0., 1.); }`;
