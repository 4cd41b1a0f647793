// Moving the ring and setting the ends A and B: with mouse, finger, keys and buttons.

"use strict";

function moveTo(code) {
  pause();
  state.code = code;
  state.t = null;
  refresh();
}

// Set an end, "a" or "b"; when both are there, the way between them is played.
function setEnd(end, code) {
  pause();
  state[end] = code;
  state.t = null;
  state.next = end === "a" ? "b" : "a";
  stripIsStale = true;
  refresh();
  if (end === "b") {
    choose(false);
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play(0);
  } else {
    choose(state.choosing);
  }
}

// The code at a place of the plane: that of the nearest point, or the ring's with other coordinates in the plane.
function codeAt({ offsetX, offsetY }) {
  if (state.snapping) return codes[nearest(places, [offsetX, offsetY])];
  const code = moved(state.code, state.x, scale.fromX(offsetX));
  return state.y ? moved(code, state.y, scale.fromY(offsetY)) : code;
}

let isDragging = false;
plane.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  if (event.shiftKey || state.choosing) {
    setEnd(state.next, codeAt(event));
  } else {
    isDragging = true;
    plane.setPointerCapture(event.pointerId);
    moveTo(codeAt(event));
  }
});
plane.addEventListener("pointermove", (event) => {
  if (isDragging) moveTo(codeAt(event));
});
for (const type of ["pointerup", "pointercancel"]) plane.addEventListener(type, () => (isDragging = false));

const ARROWS = { ArrowLeft: ["x", -1], ArrowRight: ["x", 1], ArrowDown: ["y", -1], ArrowUp: ["y", 1] };
plane.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const [name, sign] = ARROWS[event.key] || [], axis = state[name];
  if (axis) {
    const step = sign * (event.shiftKey ? 0.1 : 0.01) * (axis.range[1] - axis.range[0]);
    moveTo(moved(state.code, axis, coordinate(axis, state.code) + step));
  } else if (["a", "b"].includes(event.key.toLowerCase())) {
    setEnd(event.key.toLowerCase(), state.code);
  } else {
    return;
  }
  event.preventDefault();
});

// ---- buttons --------------------------------------------------------------------------------------------------------
function press(button, isPressed) {
  button.setAttribute("aria-pressed", isPressed);
}

// Whether clicks set the ends, and on the button which of them.
function choose(isChoosing) {
  state.choosing = isChoosing;
  press(element("choose"), isChoosing);
  element("choose").textContent = isChoosing ? `Click the place of ${state.next.toUpperCase()}` : "Choose A and B";
}

element("choose").addEventListener("click", () => {
  state.next = "a";
  choose(!state.choosing);
});
element("snap").hidden = codes.length === 0;
element("snap").addEventListener("click", () => {
  state.snapping = !state.snapping;
  press(element("snap"), state.snapping);
});
element("centre").addEventListener("click", () => moveTo(centre(codes, D)));
