/**
 * Orders Gaussians from far to near, exactly: by the bits of their float32 depth, ties by falling index, which is the
 * reverse of the order "near to far, ties by index" in which simulacra's own rasterizer blends them.
 *
 * `sorter` is one self-contained function because its source text is what the worker runs: it may name nothing that
 * lies outside of it.
 */
export function sorter() {
  const DIGIT = 65536;
  const counts = new Uint32Array(DIGIT);
  let scene, depths, keys, half;

  function load(given) {
    scene = given;
    depths = new Float32Array(scene.count);
    keys = new Uint32Array(depths.buffer);
    half = new Uint32Array(scene.count);
  }

  // rows: the camera's third row, times each bone's matrix where there is a rig. moved: metres, 4 numbers a Gaussian
  // that an expression moves.
  function measure({rows, moved}) {
    const {count, means, acted, influences, bones, weights} = scene;
    const x = means.slice();
    for (let k = 0; k < acted.length; k++) for (let c = 0; c < 3; c++) x[3 * acted[k] + c] += moved[4 * k + c];
    for (let i = 0; i < count; i++) {
      const a = x[3 * i], b = x[3 * i + 1], c = x[3 * i + 2];
      if (!influences) { depths[i] = rows[0] * a + rows[1] * b + rows[2] * c + rows[3]; continue; }
      let depth = 0;
      for (let k = influences * i; k < influences * (i + 1) && weights[k] > 0; k++) {
        const j = 4 * bones[k];
        depth += weights[k] * (rows[j] * a + rows[j + 1] * b + rows[j + 2] * c + rows[j + 3]);
      }
      depths[i] = depth;
    }
  }

  // One counting pass over 16 bits; `from` is null for the indices themselves, the last first.
  function scatter(from, to, shift) {
    const n = scene.count;
    counts.fill(0);
    for (let i = 0; i < n; i++) counts[keys[i] >>> shift & 65535]++;
    for (let digit = DIGIT - 1, start = 0; digit >= 0; digit--) {
      const here = counts[digit];
      counts[digit] = start;
      start += here;
    }
    for (let i = 0; i < n; i++) {
      const one = from ? from[i] : n - 1 - i;
      to[counts[keys[one] >>> shift & 65535]++] = one;
    }
  }

  return message => {
    if (message.means) { load(message); return null; }
    const began = performance.now();
    measure(message);
    // Positive floats are ordered like their bits. What lies behind the camera is not drawn, wherever it is sorted.
    for (let i = 0; i < scene.count; i++) if (!(depths[i] > 0)) keys[i] = 0;
    const order = new Uint32Array(scene.count);
    scatter(null, half, 0);
    scatter(half, order, 16);
    return {order, milliseconds: performance.now() - began};
  };
}

/**
 * A sorter in a worker, or, where the page's policy allows none, here: `load` gives it a scene once, `sort` resolves to
 * the order of one view.
 */
export class DepthSorter {
  constructor() {
    const source = `const sort = (${sorter})();
      onmessage = ({data}) => { const done = sort(data); if (done) postMessage(done, [done.order.buffer]); };`;
    try {
      const url = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
      this.worker = new Worker(url);
      URL.revokeObjectURL(url);
      this.worker.onmessage = ({data}) => this.resolve(data);
      this.worker.onerror = event => { event.preventDefault(); this.stayHere(); };
    } catch { this.stayHere(); }
  }

  // Without a worker: the scene, and what was being sorted, again in this thread.
  stayHere() {
    this.worker?.terminate();
    this.worker = null;
    this.here = sorter();
    if (this.scene) this.here(this.scene);
    if (this.asked) this.resolve(this.here(this.asked));
  }

  load(scene) {
    this.scene = scene;
    this.worker ? this.worker.postMessage(scene) : this.here(scene);
  }

  sort(view) {
    return new Promise(resolve => {
      this.resolve = done => { this.asked = null; resolve(done); };
      this.asked = view;
      this.worker ? this.worker.postMessage(view) : this.resolve(this.here(view));
    });
  }

  dispose() { this.worker?.terminate(); }
}
