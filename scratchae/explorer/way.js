// The straight way from A to B: a strip of decoded places, and the ring that goes along it.

"use strict";

const SECONDS = 4; // from A to B
let playing = 0; // the number of the frame to come, 0 while nothing is played

function goTo(t) {
  state.t = t;
  state.code = between(state.a, state.b, t);
  refresh();
}

// From t on to B, back to A, and so on, until `pause`.
function play(t) {
  let before = null, direction = 1;
  const step = (now) => {
    t += before === null ? 0 : (direction * (now - before)) / (1000 * SECONDS);
    if (t <= 0 || t >= 1) {
      direction = t <= 0 ? 1 : -1;
      t = Math.min(Math.max(t, 0), 1);
    }
    goTo(t);
    before = now;
    playing = requestAnimationFrame(step);
  };
  pause();
  playing = requestAnimationFrame(step);
  press(element("play"), true);
  element("play").textContent = "Pause";
}

function pause() {
  cancelAnimationFrame(playing);
  playing = 0;
  press(element("play"), false);
  element("play").textContent = "Play";
}

element("play").addEventListener("click", () => (playing ? pause() : play(state.t === null ? 0 : state.t)));
element("t").addEventListener("input", (event) => {
  pause();
  goTo(Number(event.target.value));
});

for (let i = 0; i < FRAMES; i++) {
  const button = document.createElement("button"), item = document.createElement("li"), t = i / (FRAMES - 1);
  button.type = "button";
  button.append(shaped(document.createElement("canvas")), { 0: "A", 1: "B" }[t] || text(t));
  button.addEventListener("click", () => {
    pause();
    goTo(t);
  });
  item.append(button);
  element("strip").append(item);
}
element("strip").classList.toggle("plots", !isImage);

// A canvas made ready for samples.
function shaped(canvas) {
  canvas.className = isImage ? "image" : "lines";
  if (isImage) canvas.style.aspectRatio = `${data.sample.shape[1]} / ${data.sample.shape[0]}`;
  return canvas;
}
