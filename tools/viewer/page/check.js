// What the preflight says of the capture, painted on its pictures.
import { $, entry, index, json, make } from "./server.js";
import { on, state } from "./state.js";

let looking = 0;
const line = check => make("li", { class: check.status }, make("b", {}, check.status === "fail" ? "failed" : "doubtful"), ` ${check.fault || check.code}${check.where ? ` (${check.where})` : ""}: `,
  `${check.measure ?? `${check.measured ?? "?"} ${check.unit}`}, wanted ${check.limit}. ${check.remedy ? "Do: " + check.remedy : ""}`);

function show(run, checks) {
  $("checks").replaceChildren(...checks.map(line));
  if (!checks.length) $("checks").append(make("li", {}, run.stages.includes("preflight") ? "The reconstruction's own preflight found nothing wrong." : "Nothing is known yet: look at the capture."));
}

async function look(begin) {
  const mine = ++looking, run = await entry(state.run), address = `/api/entry/${run.id}/inspection`;
  show(run, run.checks);
  $("verdict").textContent = ""; $("inspected").textContent = ""; $("painted").replaceChildren();
  $("inspect").disabled = !run.session;
  if (!run.session) { $("inspected").textContent = "The capture of this run has gone."; return; }
  let found = await json(address + (begin ? "?start=1" : ""));
  for (let seconds = 0; found.state === "working" && mine === looking; seconds++) {
    $("inspected").textContent = `Looking at the capture: ${seconds} s ...`;
    await new Promise(done => setTimeout(done, 1000));
    found = await json(address);
  }
  if (mine !== looking) return;
  $("inspected").textContent = "";
  if (found.state === "failed") { $("verdict").textContent = found.lines.join("\n"); document.body.dataset.inspected = "failed"; return; }
  if (found.state !== "done") { document.body.dataset.inspected = "idle"; return; }
  $("verdict").textContent = `${found.sentence} ${found.do ? "What to do: " + found.do : ""}`;
  show(run, found.checks);
  $("painted").replaceChildren(...run.cameras.map(({ name }) => {
    const about = found.checks.filter(check => check.where.split(/, | and /).includes(name)).map(check => check.code);
    return make("figure", {}, make("img", { alt: `Camera ${name} with what the preflight saw`, loading: "lazy", src: `${address}/${encodeURIComponent(name)}?v=${run.stamp}` }),
      make("figcaption", {}, `Camera ${name}${about.length ? ": " + about.join(", ") : ""}`));
  }), make("p", {}, "Green: the mask's outline. Yellow dots: landmarks. Rings: where the other cameras put them. Blue lines: rays of the camera that agrees least."));
  document.body.dataset.inspected = "done";
}

export async function begin() {
  $("inspect").addEventListener("click", () => look(true));
  on(changed => { if (state.tab === "check" && (changed.has("run") || changed.has("tab"))) look(false); });
  await look(index.entries.find(e => e.id === state.run)?.kind === "session");
}
