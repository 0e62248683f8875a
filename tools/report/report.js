"use strict";

// The turntable: a slider, dragging the picture, and a button that turns it.
(() => {
  const box = document.getElementById("turntable");
  if (!box) return;
  const pictures = [...box.querySelectorAll("img")];
  const slider = document.getElementById("angle");
  const degrees = document.getElementById("degrees");
  const play = document.getElementById("play");
  let shown = 0, timer = null, drag = null;

  function show(index) {
    const next = ((Math.round(index) % pictures.length) + pictures.length) % pictures.length;
    pictures[shown].hidden = true;
    pictures[next].hidden = false;
    shown = next;
    slider.value = next;
    degrees.textContent = Math.round(360 * next / pictures.length) + "°";
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Turn";
    play.setAttribute("aria-pressed", "false");
  }
  play.addEventListener("click", () => {
    if (timer) return stop();
    timer = setInterval(() => show(shown + 1), 2800 / pictures.length);
    play.textContent = "Stop";
    play.setAttribute("aria-pressed", "true");
  });
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  box.addEventListener("pointerdown", (event) => {
    if (event.target.tagName !== "IMG") return;
    stop();
    drag = { x: event.clientX, from: shown };
    box.classList.add("dragging");
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const width = pictures[shown].clientWidth || 1;
    show(drag.from - (event.clientX - drag.x) / width * pictures.length / 2);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    box.addEventListener(name, () => { drag = null; box.classList.remove("dragging"); });
  }
})();

// Enlarged pictures: keys 1, 2, 3 flip between photograph, render and difference in place; arrows change the view.
(() => {
  const dialog = document.getElementById("lightbox");
  const picture = dialog.querySelector("img");
  const caption = document.getElementById("caption");
  const buttons = [...document.querySelectorAll(".zoom")];
  const groups = [];
  for (const button of buttons) {
    const triple = button.closest(".triple");
    const last = groups[groups.length - 1];
    if (triple && last && last.triple === triple) last.buttons.push(button);
    else groups.push({ triple, buttons: [button] });
  }
  let group = 0, kind = 0;

  function show() {
    const shown = groups[group].buttons;
    kind = Math.min(kind, shown.length - 1);
    const source = shown[kind].querySelector("img");
    picture.src = source.src;
    picture.alt = source.alt;
    caption.textContent = source.alt;
  }
  groups.forEach((entry, g) => entry.buttons.forEach((button, k) => button.addEventListener("click", () => {
    group = g;
    kind = k;
    show();
    dialog.showModal();
  })));
  picture.addEventListener("click", () => { kind = (kind + 1) % groups[group].buttons.length; show(); });
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (event.key in moves) group = (group + moves[event.key] + groups.length) % groups.length;
    else if (["1", "2", "3"].includes(event.key)) kind = Number(event.key) - 1;
    else return;
    event.preventDefault();
    show();
  });
})();
