/** Bones: rotations of a pose to what each bone does to the rest pose. Matrices are flat, rows first. */

/** The rotation matrix of an axis-angle vector, radians (Rodrigues). */
export function rotationOf([x, y, z]) {
  const angle = Math.hypot(x, y, z);
  if (angle < 1e-9) return [1, 0, 0, 0, 1, 0, 0, 0, 1];
  const [a, b, c] = [x / angle, y / angle, z / angle], s = Math.sin(angle), t = 1 - Math.cos(angle);
  return [1 - t * (b * b + c * c), t * a * b - s * c, t * a * c + s * b, t * a * b + s * c, 1 - t * (a * a + c * c),
    t * b * c - s * a, t * a * c - s * b, t * b * c + s * a, 1 - t * (a * a + b * b)];
}

/** The axis-angle vector of a rotation matrix by less than half a turn. */
export function axisAngleOf(m) {
  const axis = [m[7] - m[5], m[2] - m[6], m[3] - m[1]], twice = Math.hypot(...axis);
  const angle = Math.atan2(twice, m[0] + m[4] + m[8] - 1);
  return axis.map(value => twice < 1e-9 ? 0 : value / twice * angle);
}

export const product = (a, b) => Array.from({length: 9}, (_, i) => {
  const r = 3 * Math.floor(i / 3), c = i % 3;
  return a[r] * b[c] + a[r + 1] * b[c + 3] + a[r + 2] * b[c + 6];
});
export const transposed = m => [m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]];
export const applied = (m, v) => [0, 3, 6].map(r => m[r] * v[0] + m[r + 1] * v[1] + m[r + 2] * v[2]);
export const minus = (a, b) => a.map((value, i) => value - b[i]);

/** Three numbers of a flat array, the `index`th. */
export const triple = (array, index) => [array[3 * index], array[3 * index + 1], array[3 * index + 2]];

/**
 * What `SplatRenderer.setPose` takes. `more` maps bones to further rotations (axis-angle), which are applied before those
 * of the pose.
 */
export function boneMatrices(avatar, rotations, translation, more = new Map()) {
  const {"rig.parents": parents, "rig.heads": heads, "rig.bind": bind} = avatar.arrays;
  const turned = [], placed = [], matrices = new Float32Array(12 * parents.length);
  for (let bone = 0; bone < parents.length; bone++) {
    const parent = parents[bone], head = triple(heads, bone);
    let local = rotationOf(triple(rotations, bone));
    if (more.has(bone)) local = product(local, rotationOf(more.get(bone)));
    if (parent < 0) {
      turned.push(local);
      placed.push(head.map((value, c) => value + translation[c]));
    } else {
      const away = applied(turned[parent], minus(head, triple(heads, parent)));
      turned.push(product(turned[parent], local));
      placed.push(placed[parent].map((value, c) => value + away[c]));
    }
    const shift = minus(placed[bone], applied(turned[bone], head)), X = turned[bone];
    for (let r = 0; r < 3; r++) for (let c = 0; c < 4; c++) {
      const at = 12 * bone + c;
      matrices[12 * bone + 4 * r + c] = X[3 * r] * bind[at] + X[3 * r + 1] * bind[at + 4] + X[3 * r + 2] * bind[at + 8]
        + (c === 3 ? shift[r] : 0);
    }
  }
  return matrices;
}
