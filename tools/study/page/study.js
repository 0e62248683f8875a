// A pair after the other: two renders without names beside the photograph, answered by a key or a button.

const at = (id) => document.getElementById(id);
const SIDES = ["left", "photo", "right"];
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "same" };
let state = { bout: null, before: null, done: 0, of: 0 };
let since = 0;
let ready = false;
let who = "";

async function ask(path, body) {
  const told = await fetch(path, body && { method: "POST", body: JSON.stringify(body) });
  const said = await told.json();
  if (!told.ok) throw new Error(said.error);
  return said;
}

async function tell(work) {
  try {
    at("problem").hidden = true;
    await show(await work());
  } catch (error) {
    at("problem").textContent = error.message;
    at("problem").hidden = false;
    ready = state.bout !== null;
  }
}

// Answers are taken only once all three are there to be seen.
async function show(next) {
  state = next;
  ready = false;
  at("count").textContent = `${state.done} of ${state.of} answered`;
  at("bout").hidden = state.bout === null;
  at("end").hidden = state.bout !== null;
  at("undo").disabled = at("undo-last").disabled = state.before === null;
  if (state.bout !== null) {
    const shown = SIDES.map((side) => {
      const picture = document.querySelector(`#${side} img`);
      picture.src = `/picture/${state.bout}/${side}`;
      return picture.decode();
    });
    await Promise.all(shown);
    since = performance.now();
    ready = true;
  }
  document.body.dataset.shown = `${state.bout} ${state.done}`;
}

function answer(choice) {
  if (!ready) return;
  ready = false;
  const seconds = Math.round(performance.now() - since) / 1000;
  tell(() => ask("/api/answer", { bout: state.bout, answer: choice, seconds }));
}

function undo() {
  if (state.before === null) return;
  ready = false;
  tell(() => ask("/api/answer", { bout: state.before, answer: null }));
}

function peek(on) {
  if (state.bout === null) return;
  for (const side of ["left", "right"])
    document.querySelector(`#${side} img`).src = `/picture/${state.bout}/${on ? "photo" : side}`;
}

for (const choice of ["left", "same", "right"]) at(`say-${choice}`).onclick = () => answer(choice);
at("undo").onclick = at("undo-last").onclick = undo;
at("person").onsubmit = (event) => {
  event.preventDefault();
  who = at("who").value;
  at("who").blur();
  tell(() => ask(`/api/bout?who=${encodeURIComponent(who)}`));
};
addEventListener("keydown", (event) => {
  if (event.target === at("who") || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key in KEYS) { event.preventDefault(); answer(KEYS[event.key]); }
  if (event.key === "u" || event.key === "U") undo();
  if (event.key === "p" || event.key === "P") peek(true);
});
addEventListener("keyup", (event) => {
  if (event.target !== at("who") && (event.key === "p" || event.key === "P")) peek(false);
});

tell(() => ask("/api/bout?who="));
