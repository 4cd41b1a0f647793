// The beginning: words, the first plane, and a way to look at.

"use strict";

document.title = element("title").textContent = data.title;
if (codes.length) {
  const points = `${codes.length.toLocaleString("en")} points`, coloured = data.labels ? ", coloured by label" : "";
  element("about").textContent = `The ${points} are the codes of samples${coloured}.`;
}

const [height, width] = data.sample.shape;
shaped(element("picture")).setAttribute(
  "aria-label",
  isImage ? `Decoded image, ${width} by ${height} pixels` : `Decoded ${data.sample.kind} of ${height}, drawn as lines`,
);

// A and B are the first sample and the first of another label, or the ends of an axis where there are no samples.
const [axis] = systems[0].axes;
state.a = codes[0] || moved(state.code, axis, axis.range[0]);
state.b = codes.find((_, n) => labels[n] !== labels[0]) || codes[1] || moved(state.code, axis, axis.range[1]);

useSystem(systems[0]);
const observer = new ResizeObserver(refreshAll);
for (const canvas of [plane, element("strip")]) observer.observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refreshAll);
