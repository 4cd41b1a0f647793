// Choosing the plane's axes, moving along the others with sliders, and the legends.

"use strict";

function fill(select, names, chosen) {
  select.replaceChildren(...names.map((name, i) => new Option(name, i, false, i === chosen)));
}

function useSystem({ axes, plane }) {
  state.axes = axes;
  for (const [id, chosen] of [["x-axis", plane[0]], ["y-axis", plane[1]]]) {
    fill(element(id), axes.map((axis) => axis.name), chosen);
  }
  useAxes(...plane);
}

// Axes by number: i to the right, j upwards. In a space of one dimension there is no j.
function useAxes(i, j) {
  [state.x, state.y] = [state.axes[i], state.axes[j] || null];
  state.sliders = state.axes.filter((axis) => axis !== state.x && axis !== state.y).map(makeSlider);
  element("sliders").replaceChildren(...state.sliders.map((slider) => slider.label));
  element("others").hidden = state.sliders.length === 0;
  refreshAll();
}

function makeSlider(axis) {
  const [label, input, output] = ["label", "input", "output"].map((tag) => document.createElement(tag));
  const [min, max] = axis.range;
  Object.assign(input, { type: "range", min, max, step: (max - min) / 200 });
  input.addEventListener("input", () => moveTo(moved(state.code, axis, Number(input.value))));
  label.append(axis.name, input, output);
  label.title = axis.title;
  return { axis, label, input, output };
}

element("axes").hidden = D < 3;
element("system").parentElement.hidden = systems.length < 2;
fill(element("system"), systems.map((system) => system.name), 0);
element("system").addEventListener("change", (event) => useSystem(systems[event.target.value]));
for (const [id, other, before] of [["x-axis", "y-axis", "x"], ["y-axis", "x-axis", "y"]]) {
  element(id).addEventListener("change", () => {
    // An axis that the other one has: they change places.
    if (element(id).value === element(other).value) element(other).value = state.axes.indexOf(state[before]);
    useAxes(Number(element("x-axis").value), Number(element("y-axis").value));
  });
}

// ---- legends --------------------------------------------------------------------------------------------------------
function legendEntry(tag, k, name) {
  const [entry, key, span] = [tag, "canvas", "span"].map((each) => document.createElement(each));
  [key.width, key.height] = [28, 28];
  drawMarker(key.getContext("2d"), k, 14, 14, 10);
  span.textContent = entry.title = name;
  entry.append(key, span);
  return entry;
}

(data.labels ? data.labels.names : []).forEach((name, k) => {
  const button = legendEntry("button", k, name);
  button.type = "button";
  press(button, false);
  button.addEventListener("click", () => {
    if (!state.chosen.delete(k)) state.chosen.add(k);
    press(button, state.chosen.has(k));
    backdropIsStale = true;
    refresh();
  });
  element("legend").append(button);
});

const [, features] = data.sample.shape;
element("features").hidden = isImage || features < 2;
for (let d = 0; !element("features").hidden && d < features; d++) {
  element("features").append(legendEntry("li", d, `feature ${d}`));
}
