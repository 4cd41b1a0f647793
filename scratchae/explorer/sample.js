// Drawing a sample: as an image, or as lines.

"use strict";

// An image (H, W, C), of one channel or three, one pixel of the canvas each; the browser enlarges it without blurring.
function drawImage(canvas, values, { shape: [H, W, C], range: [low, high] }) {
  if (canvas.width !== W || canvas.height !== H) [canvas.width, canvas.height] = [W, H];
  const image = new ImageData(W, H); // red, green, blue, alpha; what is beyond 0 and 255 is cut off
  for (let i = 0; i < H * W; i++) {
    for (let c = 0; c < 3; c++) {
      image.data[4 * i + c] = (255 * (values[i * C + (C === 3 ? c : 0)] - low)) / (high - low);
    }
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// A sequence (T, D), a line for each feature. With a name for the steps there are axes.
function drawLines(canvas, values, { shape: [T, D], range }, name, colours) {
  const g = fit(canvas), [left, right, top, bottom] = name ? [50, 10, 8, 42] : [3, 3, 4, 4];
  const box = { left, top, width: canvas.clientWidth - left - right, height: canvas.clientHeight - top - bottom };
  const scale = makeScale(box, T > 1 ? [0, T - 1] : [-0.5, 0.5], range);
  scale.xTicks = scale.xTicks.filter(({ value }) => Number.isInteger(value));
  if (name) drawAxes(g, scale, name, "value", colours);
  g.lineWidth = name ? 2 : 1.25;
  g.lineJoin = "round";
  for (let d = 0; d < D; d++) {
    g.strokeStyle = colour(d);
    g.beginPath();
    for (let t = 0; t < T; t++) g.lineTo(scale.toX(t), scale.toY(values[t * D + d]));
    g.stroke();
    for (let t = 0; t < T && box.width > 10 * T; t++) { // where there is room for markers
      drawMarker(g, d, scale.toX(t), scale.toY(values[t * D + d]), name ? 3 : 1.5);
    }
  }
}
