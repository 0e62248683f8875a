// Asking the server. What goes wrong is said at the top of the page and thrown.
export const $ = id => document.getElementById(id);
export const index = { entries: [], labels: [], regions: [], ramps: {}, full_scale: 0.25 };
const entries = new Map();

export function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...inside.filter(each => each !== null && each !== undefined));
  return element;
}

export function options(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, text]) => make("option", { value }, text)));
  select.value = pairs.some(([value]) => value === chosen) ? chosen : pairs[0]?.[0] ?? "";
}

export async function ask(path, how = {}) {
  let answer;
  try { answer = await fetch(path, how); }
  catch { throw problem("The server does not answer. Is simulacra view still running?"); }
  if (answer.ok) return answer;
  let lines = [`${answer.status} ${answer.statusText}`];
  if ((answer.headers.get("content-type") || "").includes("json")) lines = (await answer.json()).lines || lines;
  throw Object.assign(new Error(lines.join("\n")), { status: answer.status });
}
export const json = async path => (await ask(path)).json();
export const post = (path, body) => ask(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });

// A picture or block that is asked for again while the first is on its way is waited for, not made twice.
export async function entry(id, again = false) {
  if (again || !entries.has(id)) entries.set(id, json(`/api/entry/${id}`));
  try { return await entries.get(id); }
  catch (error) { entries.delete(id); throw error; }
}

// How far the server is with opening a run: the first to ask begins it.
export const preparing = run => json(`/api/entry/${run.id}/prepare`);
// What the server does meanwhile is said while something is waited for, unless that is short.
const SILENT = 300;
export async function sayWhile(waiting, run, say) {
  await new Promise(done => setTimeout(done, SILENT));
  while (waiting()) {
    const { doing, seconds } = await preparing(run).catch(() => ({}));
    if (!waiting()) return;
    say(doing ? `The server is ${doing}: ${Math.round(seconds)} s ...` : "Drawing ...");
    await new Promise(done => setTimeout(done, 500));
  }
}

const ready = new Map();
export function prepared(run) {
  const key = `${run.id} ${run.stamp}`;
  if (!ready.has(key)) ready.set(key, (async () => {
    while ((await preparing(run)).doing) await new Promise(done => setTimeout(done, 500));
    return true;
  })().catch(() => { ready.delete(key); return false; }));
  return ready.get(key);
}

export function problem(text) {
  $("problems").replaceChildren(...(text ? [make("p", {}, text)] : []));
  return new Error(text);
}

// Arrays of a block as the server packs them.
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const kinds = { f4: Float32Array, u4: Uint32Array, u1: Uint8Array }, found = { facts: head.facts };
  for (const { name, type, shape, offset } of head.arrays)
    found[name] = new kinds[type](buffer, 4 + length + offset, shape.reduce((a, b) => a * b, 1));
  return found;
}
export const block = async path => unpack(await (await ask(path)).arrayBuffer());

export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link); link.click(); link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 5000);
}
