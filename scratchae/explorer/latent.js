// The latent space: codes, and axes along which one moves through it.
//
// A code c is an array of D numbers. An axis has an origin and a direction v of length one, and c has the coordinate
// v . (c - origin) on it. The axes of a system are perpendicular to each other: moving along one changes no coordinate
// on another. The dimensions of the code are such a system, its principal components are another.

"use strict";

function coordinate(axis, code) {
  let sum = 0;
  for (let d = 0; d < code.length; d++) sum += axis.direction[d] * (code[d] - axis.origin[d]);
  return sum;
}

// `code` moved along one axis, to the coordinate `value` on it, or to the end of the axis' range.
function moved(code, axis, value) {
  const [low, high] = axis.range;
  const step = Math.min(Math.max(value, low), high) - coordinate(axis, code);
  return code.map((c, d) => c + step * axis.direction[d]);
}

// The code at t of the straight way from a (t = 0) to b (t = 1).
function between(a, b, t) {
  return a.map((_, d) => (1 - t) * a[d] + t * b[d]);
}

// The number of the code that is nearest, -1 if there are none.
function nearest(codes, code) {
  let best = -1, smallest = Infinity;
  codes.forEach((other, n) => {
    let distance = 0;
    for (let d = 0; d < code.length && distance < smallest; d++) distance += (other[d] - code[d]) ** 2;
    if (distance < smallest) [best, smallest] = [n, distance];
  });
  return best;
}

// The mean of the codes, or zeros.
function centre(codes, D) {
  const mean = new Float64Array(D);
  for (const code of codes) {
    for (let d = 0; d < D; d++) mean[d] += code[d] / codes.length;
  }
  return mean;
}

// An array (N, D) as its N codes.
function readCodes(array) {
  if (!array) return [];
  const D = array.data.length / array.shape[0];
  return Array.from({ length: array.shape[0] }, (_, n) => Float64Array.from(array.data.subarray(n * D, (n + 1) * D)));
}

// Axes with their directions and origins as arrays.
function readSystems(systems, arrays, D) {
  return systems.map(({ name, origin, axes, plane }) => ({
    name,
    plane,
    axes: axes.map((axis) => ({
      name: axis.name,
      title: axis.note ? `${axis.name} (${axis.note})` : axis.name,
      range: axis.range,
      origin: origin === null ? new Float64Array(D) : arrays[origin].data,
      direction: axis.direction === undefined ? unit(D, axis.dimension) : arrays[axis.direction].data,
    })),
  }));
}

function unit(D, dimension) {
  const direction = new Float64Array(D);
  direction[dimension] = 1;
  return direction;
}
