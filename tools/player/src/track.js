/**
 * From what a camera sees of a visitor to turns of bones. Landmarks are MediaPipe's 33, metres in the camera's axes (x
 * right, y down, z away); an avatar faces its viewer as the visitor faces the camera, so that x, -y, -z are its world.
 */
import {applied, axisAngleOf, minus, product, rotationOf, transposed, triple} from "./rig.js";

const LEAST_SEEN = .5;
const SPINE = ["spine05", "spine04", "spine03", "spine02", "spine01"];
const NECK = ["neck01", "neck02", "neck03", "head"];
const LIMBS = {L: 0, R: 1};
// Bone, the bone where it ends, and the landmarks at its ends on the left side; those of the right are one further.
const PARTS = [["upperarm01", "lowerarm01", 11, 13], ["lowerarm01", "wrist", 13, 15], ["upperleg01", "lowerleg01", 23, 25],
  ["lowerleg01", "foot", 25, 27]];

const middle = (a, b) => a.map((value, c) => (value + b[c]) / 2);
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const unit = v => v.map(value => value / (Math.hypot(...v) || 1));

/** The smallest rotation that turns one direction into another. */
export function between(from, to) {
  const a = unit(from), b = unit(to), v = cross(a, b), c = dot(a, b);
  if (c < -.9999) return [1, 0, 0, 0, 1, 0, 0, 0, 1];   // which way round, nobody knows
  const f = 1 / (1 + c), [x, y, z] = v;
  return [c + f * x * x, f * x * y - z, f * x * z + y, f * x * y + z, c + f * y * y, f * y * z - x, f * x * z - y, f * y * z + x, c + f * z * z];
}

// The axes of a trunk, as columns: across to its left, up, and forward.
function axesOf(across, up) {
  const x = unit(across), y = unit(minus(up, x.map(value => value * dot(x, up)))), z = cross(x, y);
  return [x[0], y[0], z[0], x[1], y[1], z[1], x[2], y[2], z[2]];
}

function spread(turns, bones, rotation) {
  const part = axisAngleOf(rotation).map(value => value / bones.length);
  for (const bone of bones) turns.set(bone, part);
}

/**
 * Turns of bones (index to axis-angle) for landmarks `[{x, y, z, visibility}, ...]` (none: the trunk stands) and the
 * rotation of the head (9 numbers, rows first, in the avatar's world; null: it looks ahead).
 */
export function turnsOf(avatar, landmarks, head) {
  const names = avatar.header.bones, parents = avatar.arrays["rig.parents"], turns = new Map(), world = new Map();
  const index = name => names.indexOf(name), at = name => triple(avatar.arrays["rig.heads"], index(name));
  const place = i => [landmarks[i].x, -landmarks[i].y, -landmarks[i].z];
  const seen = (...which) => which.every(i => (landmarks[i]?.visibility ?? 0) >= LEAST_SEEN);
  if (index("upperarm01.L") < 0 || index("spine05") < 0) return turns;
  const pair = name => [at(`${name}.L`), at(`${name}.R`)];
  const known = [...pair("upperarm01"), ...pair("upperleg01")], rise = middle(known[0], known[1]);
  const up = minus(rise, middle(known[2], known[3]));
  let root = [1, 0, 0, 0, 1, 0, 0, 0, 1], chest = root;
  if (landmarks.length && seen(11, 12)) {
    const lean = seen(23, 24) ? minus(middle(place(11), place(12)), middle(place(23), place(24))) : [0, 1, 0];
    const turned = (one, other, zero) => product(axesOf(minus(place(one), place(other)), lean), transposed(axesOf(zero, up)));
    if (seen(23, 24)) root = turned(23, 24, minus(known[2], known[3]));
    chest = turned(11, 12, minus(known[0], known[1]));
  }
  turns.set(0, axisAngleOf(root));
  spread(turns, SPINE.map(index), product(transposed(root), chest));
  if (head) spread(turns, NECK.map(index).filter(bone => bone >= 0), product(transposed(chest), head));
  const carried = bone => {
    if (bone < 0) return [1, 0, 0, 0, 1, 0, 0, 0, 1];
    if (!world.has(bone)) {
      const [x, y, z] = turns.get(bone) ?? [0, 0, 0], above = carried(parents[bone]);
      world.set(bone, x || y || z ? product(above, rotationOf([x, y, z])) : above);
    }
    return world.get(bone);
  };
  for (const [side, further] of Object.entries(LIMBS)) for (const [name, end, from, to] of PARTS) {
    const bone = index(`${name}.${side}`);
    if (!landmarks.length || !seen(from + further, to + further)) continue;
    const towards = minus(place(to + further), place(from + further)), ahead = minus(at(`${end}.${side}`), at(`${name}.${side}`));
    turns.set(bone, axisAngleOf(between(ahead, applied(transposed(carried(parents[bone])), towards))));
  }
  return turns;
}

/** Between two sets of turns: so much of the new one. */
export function eased(before, after, share) {
  return new Map([...after].map(([bone, turn]) => {
    const old = before?.get(bone);
    return [bone, old ? turn.map((value, c) => old[c] + share * (value - old[c])) : turn];
  }));
}
