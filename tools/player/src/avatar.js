/**
 * Reads FILE.avatar (docs/avatar-format.md): `readAvatar(buffer)` resolves to what `SplatRenderer.load` takes
 * (`gaussians`, `rig`), the names and numbers of the header, and all arrays by name, decoded.
 */
const MAGIC = [0x89, 65, 86, 65, 84, 65, 82, 10];
const VERSION = 1;
const TYPES = {f32: Float32Array, u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, i8: Int8Array, i16: Int16Array};
const CODECS = ["raw", "deflate", "shuffle+deflate"];

export async function readAvatar(buffer) {
  const bytes = new Uint8Array(buffer), view = new DataView(buffer);
  if (bytes.length < 24 || MAGIC.some((byte, i) => bytes[i] !== byte)) throw new Error("this is no .avatar file");
  const version = view.getUint32(8, true), length = view.getUint32(12, true);
  if (version !== VERSION) throw new Error(`the .avatar file is of version ${version}; this player knows ${VERSION}`);
  const text = bytes.subarray(24, 24 + length);
  if (crc32(text) !== view.getUint32(16, true)) throw new Error("the .avatar file is damaged: its header");
  const header = JSON.parse(new TextDecoder().decode(text));
  if (header.required?.length) throw new Error(`the .avatar file needs a player that knows ${header.required}`);
  const data = bytes.subarray(24 + length + (8 - length % 8) % 8), arrays = {};
  await Promise.all(Object.entries(header.arrays).map(async ([name, entry]) => {
    arrays[name] = await decode(name, entry, data);
  }));
  return {header, arrays, gaussians: gaussiansOf(header, arrays), rig: rigOf(header, arrays)};
}

async function decode(name, {dtype, shape, codec, offset, bytes, crc32: check, scale, zero = 0}, data) {
  const stored = data.subarray(offset, offset + bytes);
  if (!CODECS.includes(codec) || !TYPES[dtype]) throw new Error(`this player cannot read ${name} (${codec}, ${dtype})`);
  if (crc32(stored) !== check) throw new Error(`the .avatar file is damaged: ${name}`);
  let plain = codec === "raw" ? stored.slice() : await inflate(stored);
  const wide = TYPES[dtype].BYTES_PER_ELEMENT, count = plain.length / wide;
  if (codec === "shuffle+deflate" && wide > 1) {
    const shuffled = plain;
    plain = new Uint8Array(plain.length);
    for (let b = 0; b < wide; b++) for (let i = 0; i < count; i++) plain[wide * i + b] = shuffled[count * b + i];
  }
  const values = new TYPES[dtype](plain.buffer, plain.byteOffset, count), columns = shape.at(-1);
  if (scale === undefined || dtype === "f32") return values;
  const scales = [].concat(scale), zeros = [].concat(zero), decoded = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const column = i % columns;
    decoded[i] = values[i] * scales[scales.length > 1 ? column : 0] + zeros[zeros.length > 1 ? column : 0];
  }
  return decoded;
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function gaussiansOf(header, arrays) {
  const {mode = "classic", eps2d = .3} = header.rendering ?? {};
  return {
    means: arrays["gaussians.means"], quats: arrays["gaussians.quats"], opacities: arrays["gaussians.opacities"],
    scales: arrays["gaussians.log_scales"].map(Math.exp), sh: arrays["gaussians.sh"],
    eps2d, antialiased: mode === "antialiased",
  };
}

function rigOf(header, arrays) {
  const count = arrays["gaussians.means"].length / 3, bones = arrays["skin.bones"], weights = arrays["skin.weights"];
  const starts = arrays["actions.starts"] ?? [0], actions = [];
  for (let e = 0; e + 1 < starts.length; e++) {
    const from = starts[e], to = starts[e + 1];
    actions.push({indices: arrays["actions.gaussians"].subarray(from, to), offsets: arrays["actions.offsets"].subarray(3 * from, 3 * to)});
  }
  return {bones, weights, influences: bones.length / count, boneCount: header.bones.length, actions};
}

const TABLE = Uint32Array.from({length: 256}, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = ~0;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
