// What all drawings share: colours, markers, a canvas in the resolution of the screen, axes.

"use strict";

// Ten colours that colour-blind people can tell apart, too: Petroff 2021, "Accessible color sequences".
const PALETTE = [
  "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
];

// Corners of the markers, of which each is for five labels, so that colours of a kind have different ones.
const MARKERS = [
  null, // a circle
  [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]],
  [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
  [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]],
  [[-1.2, -0.7], [-0.7, -1.2], [0, -0.5], [0.7, -1.2], [1.2, -0.7], [0.5, 0],
    [1.2, 0.7], [0.7, 1.2], [0, 0.5], [-0.7, 1.2], [-1.2, 0.7], [-0.5, 0]],
];
const FONT = "12px system-ui, sans-serif";

function colour(k) {
  return PALETTE[k % PALETTE.length];
}

// The colours of style.css, which depend on the scheme, light or dark.
function theme() {
  const style = getComputedStyle(document.documentElement), names = ["surface", "text", "quiet", "line", "accent"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`)]));
}

// The context of a canvas that has as many pixels as the screen has in its place; lengths are CSS pixels.
function fit(canvas) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  const g = canvas.getContext("2d");
  g.scale(ratio, ratio);
  g.font = FONT;
  return g;
}

// About `count` round numbers between low and high: multiples of 1, 2 or 5 times a power of ten.
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) {
    found.push({ value: i * step, text: (i * step).toFixed(digits).replace("-", "\u2212") });
  }
  return found;
}

// Where values lie in a box of the canvas, and back. A box is {left, top, width, height}.
function makeScale(box, [xLow, xHigh], [yLow, yHigh]) {
  return {
    box,
    toX: (value) => box.left + (box.width * (value - xLow)) / (xHigh - xLow),
    toY: (value) => box.top + (box.height * (yHigh - value)) / (yHigh - yLow),
    fromX: (pixel) => xLow + ((xHigh - xLow) * (pixel - box.left)) / box.width,
    fromY: (pixel) => yHigh - ((yHigh - yLow) * (pixel - box.top)) / box.height,
    xTicks: ticks(xLow, xHigh, box.width / 60),
    yTicks: ticks(yLow, yHigh, box.height / 40),
  };
}

// Grid lines, numbers and names; an axis without a name has no numbers.
function drawAxes(g, scale, xName, yName, { line, quiet }) {
  const { left, top, width, height } = scale.box;
  g.strokeStyle = line;
  g.fillStyle = quiet;
  g.lineWidth = 1;
  g.textBaseline = "top";
  g.textAlign = "center";
  g.beginPath();
  for (const { value, text } of xName ? scale.xTicks : []) {
    const x = Math.round(scale.toX(value)) + 0.5;
    g.moveTo(x, top);
    g.lineTo(x, top + height);
    g.fillText(text, x, top + height + 6);
  }
  g.fillText(xName, left + width / 2, top + height + 22, width);
  g.textBaseline = "middle";
  g.textAlign = "right";
  for (const { value, text } of yName ? scale.yTicks : []) {
    const y = Math.round(scale.toY(value)) + 0.5;
    g.moveTo(left, y);
    g.lineTo(left + width, y);
    g.fillText(text, left - 6, y);
  }
  g.stroke();
  g.save();
  g.translate(left - 40, top + height / 2);
  g.rotate(-Math.PI / 2);
  g.textAlign = "center";
  g.fillText(yName, 0, 0, height);
  g.restore();
}

// The marker of the k-th label, about r around x, y.
function drawMarker(g, k, x, y, r) {
  const corners = MARKERS[Math.floor(k / 5) % MARKERS.length];
  g.fillStyle = colour(k);
  g.beginPath();
  if (corners) for (const [dx, dy] of corners) g.lineTo(x + dx * r, y + dy * r);
  else g.arc(x, y, r, 0, 2 * Math.PI);
  g.fill();
}
