// The page: what it knows, and how it shows it.

"use strict";

const element = (id) => document.getElementById(id);
const data = JSON.parse(element("data").textContent);
const arrays = readArrays(data.arrays);
const decode = makeDecoder(data.decoder, arrays);
const codes = readCodes(arrays[data.codes]);
const labels = data.labels ? data.labels.numbers : codes.map(() => 0);
const D = data.decoder.input_shape.reduce((a, b) => a * b, 1); // numbers of a code
const systems = readSystems(data.systems, arrays, D);
const isImage = data.sample.kind === "image";

const FRAMES = 11; // of the strip between A and B

const state = {
  code: centre(codes, D), // where the ring is
  axes: [], // of the system in use
  x: null, // the plane's axes; a space of one dimension has no y
  y: null,
  sliders: [], // {axis, label, input, output} for the other axes
  chosen: new Set(), // labels shown in full; none: all of them
  a: null, // codes of the ends
  b: null,
  next: "a", // the end that is chosen next
  choosing: false, // whether a click chooses an end
  snapping: false, // whether it goes to the nearest sample
  t: null, // place between A and B; null where the ring is elsewhere
};

// ---- drawing, once a frame and only what has changed ----------------------------------------------------------------
const plane = element("plane");
const backdrop = document.createElement("canvas"); // axes and points, which stay while the ring moves
let scale = null; // of the plane
let places = []; // of the points
let backdropIsStale = true, stripIsStale = true, isWaiting = false;

function refresh() {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    draw();
  });
}

function refreshAll() {
  backdropIsStale = stripIsStale = true;
  refresh();
}

function draw() {
  const colours = theme(), g = fit(plane);
  if (backdropIsStale || backdrop.width !== plane.width) drawBackdrop(colours);
  g.drawImage(backdrop, 0, 0, plane.clientWidth, plane.clientHeight);
  drawMarks(g, place(state.code), place(state.a), place(state.b), colours);
  drawSample(element("picture"), state.code, { sequence: "time step", row: "feature" }[data.sample.kind], colours);
  if (stripIsStale) drawStrip(colours);
  showNumbers();
}

function drawBackdrop(colours) {
  const box = { left: 52, top: 8, width: plane.clientWidth - 62, height: plane.clientHeight - 50 };
  scale = makeScale(box, state.x.range, state.y ? state.y.range : [0, 1]);
  // In one dimension the height means nothing. It spreads the points, evenly by the golden section.
  places = codes.map((code, n) => (state.y ? place(code) : [place(code)[0], scale.toY((n * 0.618034) % 1)]));
  [backdrop.width, backdrop.height] = [plane.width, plane.height];
  const g = backdrop.getContext("2d");
  g.scale(plane.width / plane.clientWidth, plane.height / plane.clientHeight);
  g.font = FONT;
  drawAxes(g, scale, state.x.title, state.y ? state.y.title : "", colours);
  drawPoints(g, places, labels, state.chosen);
  backdropIsStale = false;
}

// Where a code lies on the plane, in pixels.
function place(code) {
  return [scale.toX(coordinate(state.x, code)), scale.toY(state.y ? coordinate(state.y, code) : 0.5)];
}

function drawSample(canvas, code, stepName, colours) {
  if (isImage) drawImage(canvas, decode(code), data.sample);
  else drawLines(canvas, decode(code), data.sample, stepName, colours);
}

function drawStrip(colours) {
  element("strip").querySelectorAll("canvas").forEach((canvas, i) => {
    drawSample(canvas, between(state.a, state.b, i / (FRAMES - 1)), "", colours);
  });
  stripIsStale = false;
}

// A number with two digits, a minus sign that is one, and none before zero.
function text(value) {
  return value.toFixed(2).replace(/^-(0\.00)$/, "$1").replace("-", "\u2212");
}

function showNumbers() {
  const coordinates = [state.x, state.y].filter(Boolean).map((axis) => {
    const span = document.createElement("span");
    span.textContent = `${axis.name} = ${text(coordinate(axis, state.code))}`;
    return span;
  });
  element("where").replaceChildren(...coordinates);
  const n = nearest(codes, state.code);
  const label = data.labels && n >= 0 ? `label ${data.labels.names[labels[n]]}, ` : "";
  element("near").textContent = n < 0 ? "" : `Nearest code: ${label}sample ${n}`;
  for (const { axis, input, output } of state.sliders) {
    input.value = coordinate(axis, state.code);
    output.textContent = text(coordinate(axis, state.code));
  }
  if (state.t !== null) element("t").value = state.t;
  element("t-value").textContent = text(Number(element("t").value));
  element("strip").querySelectorAll("button").forEach((button, i) => {
    button.setAttribute("aria-current", state.t !== null && Math.round(state.t * (FRAMES - 1)) === i);
  });
}
