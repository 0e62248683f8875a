/**
 * A visitor's camera drives the avatar, in this page alone: pictures go to two workers, which give back facial actions,
 * the head's rotation and the body's landmarks. Nothing runs before `toggle` was called.
 */
import {eased, turnsOf} from "./track.js";

const EASE = .5;            // share of a new pose in what is shown
const OWN_RATE = 1000 / 30; // milliseconds between pictures, at least
let session = null;

class Session {
  constructor(player, video) {
    Object.assign(this, {player, video, face: null, landmarks: [], places: [], seen: 0, workers: []});
  }

  async start() {
    this.stream = await navigator.mediaDevices.getUserMedia({audio: false, video: {width: 640, height: 480, facingMode: "user"}});
    this.video.srcObject = this.stream;
    this.video.hidden = false;
    await this.video.play();
    this.player.play(false);
    await Promise.all([
      this.begin("face", result => this.hearFace(result)),
      this.begin("pose", result => Object.assign(this, result)),
    ]);
    this.look();
  }

  // A worker of the page's own policy: what is loaded from a Blob inherits it, what comes from a server does not.
  begin(task, hear) {
    const address = new URL("live-worker.js", import.meta.url);
    const blob = URL.createObjectURL(new Blob([`import ${JSON.stringify(address.href)};`], {type: "text/javascript"}));
    const worker = new Worker(blob, {type: "module"});
    this.workers.push(worker);
    return new Promise((resolve, reject) => {
      worker.onerror = event => reject(new Error(event.message || `the worker for the ${task} did not start`));
      worker.onmessage = ({data}) => {
        if (data.error) return reject(new Error(data.error));
        if (data.waiting) return worker.postMessage({task, base: new URL(".", address).href});
        worker.idle = true;
        if (data.ready) return resolve();
        hear(data);
        this.seen++;
        this.milliseconds = {...this.milliseconds, [task]: data.milliseconds};
        this.show();
      };
    });
  }

  hearFace({scores, matrix}) {
    const names = this.player.avatar.header.actions ?? [];
    this.face = scores && {
      expression: names.map(name => scores[name] ?? 0),
      // Columns of a matrix in axes x right, y up, z towards the camera, which are the avatar's world.
      head: [0, 1, 2].flatMap(r => [0, 1, 2].map(c => matrix[4 * c + r])),
    };
  }

  show() {
    const turns = turnsOf(this.player.avatar, this.landmarks, this.face?.head ?? null);
    this.player.live = {rotations: eased(this.player.live?.rotations, turns, EASE), expression: this.face?.expression};
    this.player.change();
  }

  async look(now = performance.now()) {
    if (this.stopped) return;
    if (now - (this.last ?? -Infinity) >= OWN_RATE && this.video.readyState >= 2) {
      this.last = now;
      for (const worker of this.workers.filter(each => each.idle)) {
        worker.idle = false;
        const picture = await createImageBitmap(this.video);
        worker.postMessage({picture, at: now}, [picture]);
      }
    }
    requestAnimationFrame(time => this.look(time));
  }

  stop() {
    this.stopped = true;
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    for (const worker of this.workers) worker.terminate();
    this.video.srcObject = null;
    this.video.hidden = true;
    this.player.live = null;
    this.player.change();
  }
}

/** Starts the camera, or stops it. Resolves to whether it is on. */
export async function toggle(player, video) {
  if (session) {
    session.stop();
    session = null;
    return false;
  }
  const begun = new Session(player, video);
  try { await begun.start(); } catch (error) { begun.stop(); throw error; }
  session = begun;
  window.liveSession = session;
  return true;
}
