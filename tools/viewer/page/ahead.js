// Pictures that are likely to be asked for next are fetched while nothing else is: the browser keeps them.
import { entry, prepared } from "./server.js";
import { state } from "./state.js";
import { isFile, layerAt, pictureUrl } from "./compare.js";
import { around } from "./judge.js";

// So long nobody has asked for anything, ms.
const QUIET = 120;
let going = new AbortController();

export function halt() { going.abort(); }

// A step further and one back in each direction, the likely ones first.
async function neighbours() {
  const run = await entry(state.run), here = { run, camera: state.camera, frame: state.frame, left: state.left, right: state.right };
  const names = run.cameras.map(camera => camera.name), found = [];
  const frame = by => ({ ...here, frame: run.frames[run.frames.indexOf(state.frame) + by] });
  const camera = by => ({ ...here, camera: names[(names.indexOf(state.camera) + by + names.length) % names.length] });
  const rows = await Promise.all(around().map(async row => row && ({ ...here, run: await entry(row.id), camera: row.camera || state.camera, frame: row.frame })));
  for (const by of [1, -1])
    found.push(rows[by === 1 ? 0 : 1], { ...here, right: layerAt(run, "right", by) }, frame(by), camera(by), { ...here, left: layerAt(run, "left", by) });
  return [...found, rows[2]].filter(each => each && each.frame !== undefined && each.frame !== null);
}

export async function begin() {
  const mine = going = new AbortController();
  await new Promise(done => setTimeout(done, QUIET));
  if (mine.signal.aborted) return;
  const first = await entry(state.run);
  prepared(first);
  for (const { run, camera, frame, left, right } of await neighbours()) {
    for (const layer of new Set([left, right])) {
      const drawn = !isFile(run, layer, camera, frame);
      if (run.missing[layer] || (run.absent[camera] || []).includes(frame) || (drawn && (run.id !== first.id || !await prepared(run)))) continue;
      if (mine.signal.aborted) return;
      await fetch(pictureUrl(run, layer, camera, frame), { signal: mine.signal, priority: "low" }).then(answer => answer.arrayBuffer()).catch(() => 0);
    }
  }
  if (!mine.signal.aborted) document.body.dataset.ahead = document.body.dataset.shown;
}
