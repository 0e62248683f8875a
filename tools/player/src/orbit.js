/** A camera that goes round a point: drag, two fingers, wheel, or the arrow keys. */
import {applied} from "./rig.js";

const HALF_VIEW = 15 * Math.PI / 180;   // of the picture's height
const STEEPEST = 1.5;                   // radians
const MARGIN = 1.12;                    // free space around the person

export class Orbit {
  constructor(element, changed) {
    this.touched = false;                       // since it last looked at the whole person
    this.changed = () => { this.touched = true; changed(); };
    this.touching = new Map();
    element.addEventListener("pointerdown", event => this.begin(element, event));
    element.addEventListener("pointermove", event => this.move(element, event));
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, event => this.touching.delete(event.pointerId));
    element.addEventListener("wheel", event => { event.preventDefault(); this.zoom(Math.exp(event.deltaY * .001)); }, {passive: false});
    element.addEventListener("contextmenu", event => event.preventDefault());
    element.addEventListener("keydown", event => this.key(event));
  }

  /** Looks at a box around the person (`low` and `high` corners) from in front. */
  frame(low, high, aspect) {
    this.target = low.map((value, c) => (value + high[c]) / 2);
    const [x, y, z] = high.map((value, c) => (value - low[c]) / 2), wide = Math.hypot(x, z);
    this.distance = MARGIN * Math.max(y / Math.tan(HALF_VIEW), wide / (Math.tan(HALF_VIEW) * aspect)) + wide;
    this.yaw = .3;
    this.pitch = .1;
    this.changed();
    this.touched = false;
  }

  begin(element, event) {
    element.setPointerCapture(event.pointerId);
    element.focus();
    this.touching.set(event.pointerId, [event.clientX, event.clientY]);
  }

  move(element, event) {
    const before = this.touching.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY], [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    const other = [...this.touching].find(([id]) => id !== event.pointerId)?.[1];
    this.touching.set(event.pointerId, now);
    if (other) {
      const length = place => Math.max(1, Math.hypot(place[0] - other[0], place[1] - other[1]));
      this.shift(dx / 2, dy / 2, element.clientHeight);
      this.zoom(length(before) / length(now));
    } else if (event.shiftKey || event.buttons & 6) this.shift(dx, dy, element.clientHeight);
    else this.turn(-dx * .008, dy * .008);
  }

  key(event) {
    const step = {ArrowLeft: [-.1, 0], ArrowRight: [.1, 0], ArrowUp: [0, .1], ArrowDown: [0, -.1]}[event.key];
    if (step) this.turn(...step);
    else if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? .9 : 1 / .9);
    else return;
    event.preventDefault();
  }

  turn(yaw, pitch) {
    this.yaw += yaw;
    this.pitch = Math.max(-STEEPEST, Math.min(STEEPEST, this.pitch + pitch));
    this.changed();
  }

  zoom(factor) {
    this.distance = Math.max(.15, Math.min(50, this.distance * factor));
    this.changed();
  }

  shift(dx, dy, height) {
    const metres = 2 * Math.tan(HALF_VIEW) * this.distance / height, rows = this.axes();
    this.target = this.target.map((value, c) => value - metres * (dx * rows[c] + dy * rows[3 + c]));
    this.changed();
  }

  // Right, down and forward in the world, as the rows of a rotation.
  axes() {
    const [sy, cy, sp, cp] = [Math.sin(this.yaw), Math.cos(this.yaw), Math.sin(this.pitch), Math.cos(this.pitch)];
    return [cy, 0, -sy, sy * sp, -cp, cy * sp, -sy * cp, -sp, -cy * cp];
  }

  /** What `SplatRenderer.setCamera` takes, for a canvas of this size; `moved` is added to the point that is looked at. */
  camera(width, height, moved = [0, 0, 0]) {
    const rows = this.axes(), focal = height / 2 / Math.tan(HALF_VIEW);
    const forward = rows.slice(6), eye = this.target.map((value, c) => value + moved[c] - this.distance * forward[c]);
    const t = applied(rows, eye).map(value => -value);
    const view = [...rows.slice(0, 3), t[0], ...rows.slice(3, 6), t[1], ...rows.slice(6), t[2], 0, 0, 0, 1];
    return [view, [focal, 0, width / 2, 0, focal, height / 2, 0, 0, 1]];
  }
}
