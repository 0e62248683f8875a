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
