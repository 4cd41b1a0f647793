// A convolution of an image that is upsampled by two: up_sampling2d_conv2d.cu says how.
#include "conv2d.cuh"

// y, for a kernel of J x K taps whose first one takes a pixel of y to the upsampled image's pixel `top` above it and
// `left` beside it.
__device__ __forceinline__ void upsampled_convolution(float* y, const Image& x, const float* w, const float* b,
                                                      const Shape& shape, int J, int K, int top, int left,
                                                      int activation, const Work& work, const Turn& turn) {
  Cell cell(work, turn, 4);
  const Weights<false, 1> weights = {w, J, K, x.shape.C, shape.C};
  // y[2h + p] meets x from row h + floor((p - top) / 2) on, and every second row of the sums
  const int p = cell.phase / 2, q = cell.phase % 2, odd_top = top % 2, odd_left = left % 2;
  const Window window = {(J + 1) / 2 + odd_top, (K + 1) / 2 + odd_left, (top + 1) / 2, (left + 1) / 2};
  const Taps taps = {(J + 1) / 2, (K + 1) / 2, p & odd_top, q & odd_left,
                     (p == odd_top) * (K + 1) + (q == odd_left), 2 * (K + 1), 2};
  for (int tile = turn.first; cell.go_to(tile, turn, work, shape.N, ceil_div(shape.H, 4), ceil_div(shape.W, 4));
       tile += turn.step) {
    float z[4][WIDTH];
    convolve<1, 2>(z, x, weights, window, taps, cell, work, tile == turn.first);
    write_cell<2>(y, z, b, shape, cell, work, activation);
  }
}
