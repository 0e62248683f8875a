"use strict";

// Enlarged pictures of a view: buttons and the keys 1 to 9 change between them in place, W wipes from one to another,
// arrows go to the next view. The groups are the elements of class "triple"; a picture outside of one is its own group.
(() => {
  const dialog = document.getElementById("lightbox");
  if (!dialog) return;
  const part = (name) => dialog.querySelector("." + name);
  const [under, over, edge, where, wipe] = ["under", "over", "edge", "where", "wipe"].map(part);
  const all = [...document.querySelectorAll(".zoom")];
  let groups = [], group = 0, kind = 0, wiping = false, from = 0;

  // Views that are filtered out are not stepped through.
  function gather() {
    groups = [];
    for (const button of all) {
      if (!button.offsetParent) continue;
      const triple = button.closest(".triple");
      const last = groups[groups.length - 1];
      if (triple && last && last.triple === triple) last.buttons.push(button);
      else groups.push({ triple, buttons: [button] });
    }
  }
  const image = (k) => groups[group].buttons[k].querySelector("img");
  function place() {
    over.style.clipPath = `inset(0 0 0 ${where.value}%)`;
    edge.style.left = where.value + "%";
  }
  function show() {
    const buttons = groups[group].buttons;
    kind = Math.min(kind, buttons.length - 1);
    if (from === kind || from >= buttons.length) from = kind === 0 ? Math.min(1, buttons.length - 1) : 0;
    const two = wiping && buttons.length > 1;
    under.src = image(two ? from : kind).src;
    under.alt = image(two ? from : kind).alt;
    over.hidden = edge.hidden = where.hidden = !two;
    if (two) { over.src = image(kind).src; over.alt = image(kind).alt; place(); }
    const named = (k) => buttons[k].dataset.kind || "";
    const view = groups[group].triple ? groups[group].triple.dataset.view : image(0).alt;
    part("caption").textContent = two ? `${view}: ${named(from)} left, ${named(kind)} right` : [view, named(kind)].filter(Boolean).join(": ");
    wipe.setAttribute("aria-pressed", String(two));
    wipe.parentElement.hidden = buttons.length < 2;
    part("steps").classList.toggle("single", groups.length < 2);
    // Keys go to the dialog as long as something in it has the focus: a button that is replaced must not take it away.
    const focused = part("kinds").contains(document.activeElement);
    part("kinds").replaceChildren(...(buttons.length < 2 ? [] : buttons.map((button, k) => {
      const choice = document.createElement("button");
      choice.type = "button";
      choice.textContent = button.dataset.kind;
      choice.setAttribute("aria-pressed", String(k === kind));
      choice.addEventListener("click", () => choose(k));
      return choice;
    })));
    if (focused && part("kinds").children[kind]) part("kinds").children[kind].focus({ preventScroll: true });
  }
  function choose(k) {
    if (k >= groups[group].buttons.length) return;
    if (k !== kind) from = kind;
    kind = k;
    show();
    const chosen = part("kinds").children[kind];
    if (chosen) chosen.focus({ preventScroll: true });
  }
  function move(steps) { group = (group + steps + groups.length) % groups.length; show(); }
  function toggle() {
    wiping = !wiping;
    if (wiping && kind === 0 && groups[group].buttons.length > 1) { from = 0; kind = 1; }
    show();
  }

  for (const button of all) {
    button.addEventListener("click", () => {
      gather();
      group = groups.findIndex((entry) => entry.buttons.includes(button));
      kind = groups[group].buttons.indexOf(button);
      show();
      dialog.showModal();
    });
  }
  part("previous").addEventListener("click", () => move(-1));
  part("next").addEventListener("click", () => move(1));
  part("close").addEventListener("click", () => dialog.close());
  wipe.addEventListener("click", toggle);
  where.addEventListener("input", place);
  let dragging = false;
  part("frame").addEventListener("pointerdown", (event) => {
    if (!wiping || over.hidden) return choose((kind + 1) % groups[group].buttons.length);
    dragging = true;
    part("frame").setPointerCapture(event.pointerId);
    drag(event);
  });
  function drag(event) {
    const box = under.getBoundingClientRect();
    where.value = Math.round(100 * (event.clientX - box.left) / box.width);
    place();
  }
  part("frame").addEventListener("pointermove", (event) => { if (dragging) drag(event); });
  for (const name of ["pointerup", "pointercancel"]) part("frame").addEventListener(name, () => { dragging = false; });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (event.key in moves && event.target !== where) move(moves[event.key]);
    else if (/^[1-9]$/.test(event.key)) choose(Number(event.key) - 1);
    else if (event.key.toLowerCase() === "w") toggle();
    else return;
    event.preventDefault();
  });
})();

// Views of one camera only.
(() => {
  const filter = document.getElementById("camera-filter");
  if (!filter) return;
  filter.addEventListener("change", () => {
    for (const view of document.querySelectorAll(".view[data-camera]")) {
      view.hidden = filter.value !== "" && view.dataset.camera !== filter.value;
    }
  });
})();
