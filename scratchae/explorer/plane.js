// Drawing the plane: points, the ring, and the ends A and B. Places are [x, y] in pixels.

"use strict";

// The points; `labels` has the number of each one's label, `chosen` those to be seen in full, of none all.
function drawPoints(g, places, labels, chosen) {
  const r = Math.min(Math.max(140 / Math.sqrt(places.length), 1.8), 5);
  for (const clear of [false, true]) {
    g.globalAlpha = clear ? 0.8 : 0.12;
    places.forEach(([x, y], n) => {
      if (clear === (chosen.size === 0 || chosen.has(labels[n]))) drawMarker(g, labels[n], x, y, r);
    });
  }
  g.globalAlpha = 1;
}

// The ring, and the ends with the way between them.
function drawMarks(g, ring, a, b, { surface, text, accent }) {
  const strokes = (draw) => {
    for (const [style, width] of [[surface, 5], [text, 2]]) {
      g.strokeStyle = style;
      g.lineWidth = width;
      g.beginPath();
      draw();
      g.stroke();
    }
  };
  g.setLineDash([6, 4]);
  strokes(() => (g.moveTo(...a), g.lineTo(...b)));
  g.setLineDash([]);
  g.textAlign = "center";
  g.textBaseline = "middle";
  g.font = `bold ${FONT}`;
  for (const [name, place] of [["A", a], ["B", b]]) {
    strokes(() => g.arc(...place, 10, 0, 2 * Math.PI));
    g.fillStyle = text;
    g.fill();
    g.fillStyle = surface;
    g.fillText(name, place[0], place[1] + 1);
  }
  g.font = FONT;
  g.beginPath();
  g.arc(...ring, 12, 0, 2 * Math.PI);
  for (const [style, width] of [[surface, 7], [accent, 4]]) {
    g.strokeStyle = style;
    g.lineWidth = width;
    g.stroke();
  }
}
