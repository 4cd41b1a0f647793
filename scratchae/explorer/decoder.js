// The decoder: the forward pass of every layer, for one sample, as scratchae.kernels.reference has it.
//
// A function here has the name of the Python function and takes the same arguments: output first, then the input, then
// weights and settings. A tensor is {shape, data}, its numbers in row-major order; the batch is left out of the shapes.
// Sizes are called as in the Python kernels: H, W, C of an image, T steps of a sequence, I in, O out, U units.
// JavaScript computes in float64, so the results are those of the Python library to the rounding of its float32.

"use strict";

const ACTIVATIONS = {
  linear: (z) => z,
  relu: (z) => Math.max(z, 0),
  sigmoid: (z) => 1 / (1 + Math.exp(-z)),
  tanh: Math.tanh,
};

function activation_forward(y, x, activation) {
  const f = ACTIVATIONS[activation];
  for (let i = 0; i < y.data.length; i++) y.data[i] = f(x.data[i]);
}

// y = activation(x w + b), along the last axis                                 x (..., I), w (I, O), b (O,), y (..., O)
function dense_forward(y, x, w, b, activation) {
  const [I, O] = w.shape;
  for (let row = 0; row < y.data.length / O; row++) {
    for (let o = 0; o < O; o++) y.data[row * O + o] = b ? b.data[o] : 0;
    for (let i = 0; i < I; i++) {
      const xi = x.data[row * I + i];
      if (xi === 0) continue; // as many are behind a relu
      for (let o = 0; o < O; o++) y.data[row * O + o] += xi * w.data[i * O + o];
    }
  }
  activation_forward(y, y, activation);
}

// y[h, w, o] = activation(sum_jkc x[h + j, w + k, c] w[j, k, c, o] + b[o])     x (H, W, C), w (J, K, C, O), y (P, Q, O)
// For padding "same" there are zeros around x, and j and k count from -J/2 and -K/2.
function conv2d_forward(y, x, w, b, padding, activation) {
  const [H, W, C] = x.shape, [J, K, , O] = w.shape, [P, Q] = y.shape;
  const [top, left] = padding === "same" ? [(J - 1) / 2, (K - 1) / 2] : [0, 0];
  for (let p = 0; p < P; p++) {
    for (let q = 0; q < Q; q++) {
      const out = (p * Q + q) * O;
      for (let o = 0; o < O; o++) y.data[out + o] = b ? b.data[o] : 0;
      for (let j = 0; j < J; j++) {
        for (let k = 0; k < K; k++) {
          const h = p + j - top, v = q + k - left;
          if (h < 0 || h >= H || v < 0 || v >= W) continue;
          for (let c = 0; c < C; c++) {
            const xc = x.data[(h * W + v) * C + c], tap = ((j * K + k) * C + c) * O;
            for (let o = 0; o < O; o++) y.data[out + o] += xc * w.data[tap + o];
          }
        }
      }
    }
  }
  activation_forward(y, y, activation);
}

// y[2h + i, 2w + j] = x[h, w] for i, j in {0, 1}                                             x (H, W, C), y (2H, 2W, C)
function up_sampling2d_forward(y, x) {
  const [H, W, C] = x.shape;
  for (let h = 0; h < 2 * H; h++) {
    for (let w = 0; w < 2 * W; w++) {
      for (let c = 0; c < C; c++) {
        y.data[(h * 2 * W + w) * C + c] = x.data[((h >> 1) * W + (w >> 1)) * C + c];
      }
    }
  }
}

// y[p, q] = the largest of x[2p + i, 2q + j] for i, j in {0, 1}, where there is one           x (H, W, C), y (P, Q, C)
function max_pool2d_forward(y, x) {
  const [H, W, C] = x.shape, [P, Q] = y.shape;
  y.data.fill(-Infinity);
  for (let h = 0; h < Math.min(H, 2 * P); h++) {
    for (let w = 0; w < Math.min(W, 2 * Q); w++) {
      for (let c = 0; c < C; c++) {
        const out = ((h >> 1) * Q + (w >> 1)) * C + c;
        y.data[out] = Math.max(y.data[out], x.data[(h * W + w) * C + c]);
      }
    }
  }
}

// z = x_t wx + h_(t-1) wh + b, whose quarters are the gates i, f, g, o;                x (T, I), wx (I, 4U), wh (U, 4U)
// c_t = f c_(t-1) + i g,  h_t = o tanh(c_t)                                                           b (4U,), h (T, U)
function lstm_forward(h, x, wx, wh, b) {
  const [T, U] = h.shape, I = x.shape[1];
  const { sigmoid, tanh } = ACTIVATIONS;
  const c = new Float64Array(U), z = new Float64Array(4 * U);
  for (let t = 0; t < T; t++) {
    for (let u = 0; u < 4 * U; u++) z[u] = b ? b.data[u] : 0;
    for (let i = 0; i < I; i++) {
      for (let u = 0; u < 4 * U; u++) z[u] += x.data[t * I + i] * wx.data[i * 4 * U + u];
    }
    for (let i = 0; i < U && t > 0; i++) {
      for (let u = 0; u < 4 * U; u++) z[u] += h.data[(t - 1) * U + i] * wh.data[i * 4 * U + u];
    }
    for (let u = 0; u < U; u++) {
      const [i, f, g, o] = [sigmoid(z[u]), sigmoid(z[U + u]), tanh(z[2 * U + u]), sigmoid(z[3 * U + u])];
      c[u] = f * c[u] + i * g;
      h.data[t * U + u] = o * tanh(c[u]);
    }
  }
}

// y = the last of the steps h                                                                          h (T, U), y (U,)
function last_step_forward(y, h) {
  y.data.set(h.data.subarray(h.data.length - y.data.length));
}

// y[t] = x for every step t                                                                            x (D,), y (T, D)
function repeat_vector_forward(y, x) {
  for (let t = 0; t < y.shape[0]; t++) y.data.set(x.data, t * x.data.length);
}

// y = the numbers of x, in another shape
function reshape_forward(y, x) {
  y.data.set(x.data);
}

// y = scale x + offset
function rescale_forward(y, x, scale, offset) {
  for (let i = 0; i < y.data.length; i++) y.data[i] = scale * x.data[i] + offset;
}

// ---- layers and the model -------------------------------------------------------------------------------------------
const LAYERS = {
  Activation: (y, x, layer) => activation_forward(y, x, layer.activation),
  Conv2D: (y, x, layer) => conv2d_forward(y, x, layer.w, layer.b, layer.padding, layer.activation),
  Dense: (y, x, layer) => dense_forward(y, x, layer.w, layer.b, layer.activation),
  LSTM: (y, x, layer) => {
    const h = layer.return_sequences ? y : tensor([x.shape[0], y.shape[0]]);
    lstm_forward(h, x, layer.wx, layer.wh, layer.b);
    if (!layer.return_sequences) last_step_forward(y, h);
  },
  MaxPooling2D: max_pool2d_forward,
  RepeatVector: repeat_vector_forward,
  Rescaling: (y, x, layer) => rescale_forward(y, x, layer.scale, layer.offset),
  Reshape: reshape_forward,
  UpSampling2D: up_sampling2d_forward,
};

function tensor(shape) {
  return { shape, data: new Float64Array(shape.reduce((a, b) => a * b, 1)) };
}

// A function from a code to the numbers of the decoded sample. They lie in memory that its next call writes again.
function makeDecoder({ input_shape, layers }, arrays) {
  const steps = layers.map((layer) => {
    const weights = Object.fromEntries(Object.entries(layer.weights).map(([name, i]) => [name, arrays[i]]));
    return { run: LAYERS[layer.class], layer: { ...layer, ...weights }, y: tensor(layer.output_shape) };
  });
  return (code) => {
    let x = { shape: input_shape, data: code };
    for (const { run, layer, y } of steps) {
      run(y, x, layer);
      x = y;
    }
    return x.data;
  };
}

// The arrays of the page: float32 numbers, little-endian, in base64, one array behind the other.
function readArrays({ shapes, base64 }) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  return shapes.map((shape) => {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    for (let i = 0; i < data.length; i++, at += 4) data[i] = view.getFloat32(at, true);
    return { shape, data };
  });
}
