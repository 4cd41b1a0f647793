// Upsampling by two and a convolution, with the parts that conv2d.cuh has: the large image is never there.
//
// The 2 x 2 pixels of y at a pixel of x are four phases, each with its own (J+1)/2 x (K+1)/2 sums of weights. Forward,
// a thread computes one phase of 2 x 2 pixels of x, from a tile that all phases share. Backward, dz is read in steps of
// two.
//
// Floor: N P Q (J+1)/2 (K+1)/2 C O multiply-adds, 4 of 9 with 3x3 taps, and 4 N (H W C + P Q O) bytes; backward twice
// each and dz's y. From 8 to 16 channels, 8x8 to 14x14 pixels, these are 7 multiply-adds a byte, from 16 channels to 1,
// 14x14 to 28x28, they are 3: an H200 does 8 in the time of a byte (conv2d.cu), so memory is the limit.
#include "conv2d.cuh"

extern "C" __global__ void __launch_bounds__(256, 2)
    up_sampling2d_conv2d_forward(float* y /*(N, P, Q, O)*/, const float* x /*(N, H, W, C)*/,
                                 const float* w /*(J, K, C, O)*/, const float* b /*(O)*/, int N, int H, int W, int C,
                                 int P, int Q, int O, int J, int K, int top, int left, int activation, int images,
                                 int rows, int columns, int chunk, int groups, int width) {
  const Image image = {x, {N, H, W, C}};
  const Shape shape = {N, P, Q, O};
  const Work work = {images, rows, columns, chunk, groups, width};
  Cell cell(work, 4);
  const Weights<false, 1> weights = {w, J, K, C, O};
  // y[2h + p] meets x from row h + floor((p - top) / 2) on, and every second row of the sums
  const int p = cell.phase / 2, q = cell.phase % 2, odd_top = top % 2, odd_left = left % 2;
  const Window window = {(J + 1) / 2 + odd_top, (K + 1) / 2 + odd_left, (top + 1) / 2, (left + 1) / 2};
  const Taps taps = {(J + 1) / 2, (K + 1) / 2, p & odd_top, q & odd_left,
                     (p == odd_top) * (K + 1) + (q == odd_left), 2 * (K + 1), 2};
  for (int tile = blockIdx.x; cell.go_to(tile, work, N, ceil_div(P, 4), ceil_div(Q, 4)); tile += gridDim.x) {
    float z[4][WIDTH];
    convolve<1, 2>(z, image, weights, window, taps, cell, work, tile == blockIdx.x);
    write_cell<2>(y, z, b, shape, cell, work, activation);
  }
}

extern "C" __global__ void __launch_bounds__(256, 2)
    up_sampling2d_conv2d_input_gradient(float* dx /*(N, H, W, C)*/, const float* dy /*(N, P, Q, O)*/,
                                        const float* y /*(N, P, Q, O)*/, const float* w /*(J, K, C, O)*/, int N, int H,
                                        int W, int C, int P, int Q, int O, int J, int K, int top, int left,
                                        int activation, int images, int rows, int columns, int chunk, int groups,
                                        int width) {
  const Derivative dz = {dy, y, {N, P, Q, O}, activation};
  const Work work = {images, rows, columns, chunk, groups, width};
  input_gradient<1>(dx, dz, w, {N, H, W, C}, {J + 1, K + 1, J - 1 - top, K - 1 - left}, work);
}

extern "C" __global__ void __launch_bounds__(256, 2)
    up_sampling2d_conv2d_weight_gradient(float* partial /*(>= gridDim.x, J, K, C, O)*/,
                                         const float* dy /*(N, P, Q, O)*/, const float* y /*(N, P, Q, O)*/,
                                         const float* x /*(N, H, W, C)*/, int N, int H, int W, int C, int P, int Q,
                                         int O, int J, int K, int top, int left, int activation, int images, int rows,
                                         int columns, int pitch, int block_rows, int row_groups, int column_groups) {
  const Derivative dz = {dy, y, {N, P, Q, O}, activation};
  const Image image = {x, {N, H, W, C}};
  weight_gradient<2>(partial, dz, image, true, {J + 1, K + 1, J - 1 - top, K - 1 - left},
                     {images, rows, columns, pitch, block_rows, row_groups, column_groups});
}
