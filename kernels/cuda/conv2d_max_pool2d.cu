// A convolution and its pooling, with the parts that conv2d.cuh has: the convolved image, four times as large, is not
// stored, nor is its gradient.
//
// Forward, a thread's 2 x 2 pixels are a window: the largest sum is found in registers, and gets bias and activation,
// which never turn an order round. Backward, y at a window's winner is the pooled y, so dz comes from dy, y and winner;
// it is spread to the winners as it comes to shared memory, and then is any convolution's.
//
// Floor: the multiply-adds of the convolution and 4 N (H W C + P Q O) + N P Q O bytes forward, for 1 channel in and 16
// out on 28x28 pixels 19 KB an image, of 119 KB that the two layers move on their own. Backward, 9 bytes for a number
// of y are read for dw, and again for dx. Three of four numbers of dz are zero, but which ones differs from channel to
// channel: to leave them out, a thread would read x for each of its channels at another place, a read a multiply-add.
#include "conv2d.cuh"

// y and winner of a cell, which is a window; the convolution has rows x columns pixels.
__device__ __forceinline__ void write_largest(float* y, unsigned char* winner, float (&z)[4][WIDTH], const float* b,
                                              const Shape& shape, int rows, int columns, const Cell& cell,
                                              const Work& work, int activation) {
  const int o = first_channel(cell, work), count = count_channels(cell, work, shape.C);
  if (count <= 0 || cell.n() >= shape.N || cell.u() >= shape.H || cell.v() >= shape.W) return;
  const bool below = 2 * cell.u() + 1 < rows, right = 2 * cell.v() + 1 < columns;
  unsigned winners[2] = {};  // a byte each
#pragma unroll
  for (int i = 0; i < WIDTH; ++i) {
    unsigned place = 0;
#pragma unroll
    for (int pixel = 1; pixel < 4; ++pixel) {
      const float best = z[0][i], other = z[pixel][i];
      const bool inside = (pixel < 2 || below) && (pixel % 2 == 0 || right);
      if (inside && (other > best || (other != other && best == best))) {  // a NaN wins, the first one of several
        z[0][i] = other;
        place = pixel;
      }
    }
    winners[i / 4] |= place << 8 * (i % 4);
    if (i < count) z[0][i] = activate(z[0][i] + (b == nullptr ? 0.f : __ldg(b + o + i)), activation);
  }
  const long long at = ((static_cast<long long>(cell.n()) * shape.H + cell.u()) * shape.W + cell.v()) * shape.C + o;
  const bool by_fours = shape.C % 4 == 0 && is_aligned(y) && is_aligned(winner);
  write(y + at, z[0], count, by_fours);
#pragma unroll
  for (int i = 0; i < WIDTH; ++i) {
    if (by_fours && i % 4 == 0 && i < count) *reinterpret_cast<unsigned*>(winner + at + i) = winners[i / 4];
    if (!by_fours && i < count) winner[at + i] = winners[i / 4] >> 8 * (i % 4) & 255;
  }
}

extern "C" __global__ void __launch_bounds__(256, 2)
    conv2d_max_pool2d_forward(float* y /*(N, P, Q, O)*/, unsigned char* winner /*(N, P, Q, O)*/,
                              const float* x /*(N, H, W, C)*/, const float* w /*(J, K, C, O)*/, const float* b /*(O)*/,
                              int N, int H, int W, int C, int P, int Q, int O, int J, int K, int top, int left,
                              int convolved_rows, int convolved_columns, int activation, int images, int rows,
                              int columns, int chunk, int groups, int width) {
  const Image image = {x, {N, H, W, C}};
  const Shape shape = {N, P, Q, O};
  const Window window = {J, K, top, left};
  const Work work = {images, rows, columns, chunk, groups, width};
  const Weights<false, 0> weights = {w, J, K, C, O};
  Cell cell(work, 1);
  for (int tile = blockIdx.x; cell.go_to(tile, work, N, P, Q); tile += gridDim.x) {
    float z[4][WIDTH];
    convolve<1, 3>(z, image, weights, window, {J, K, 0, 0, 0, K, 1}, cell, work, tile == blockIdx.x);
    write_largest(y, winner, z, b, shape, convolved_rows, convolved_columns, cell, work, activation);
  }
}

extern "C" __global__ void __launch_bounds__(256, 2)
    conv2d_max_pool2d_input_gradient(float* dx /*(N, H, W, C)*/, const float* dy /*(N, P, Q, O)*/,
                                     const float* y /*(N, P, Q, O)*/, const unsigned char* winner /*(N, P, Q, O)*/,
                                     const float* w /*(J, K, C, O)*/, int N, int H, int W, int C, int P, int Q, int O,
                                     int J, int K, int top, int left, int convolved_rows, int convolved_columns,
                                     int activation, int images, int rows, int columns, int chunk, int groups,
                                     int width) {
  const Unpooled dz = {{dy, y, {N, P, Q, O}, activation}, winner, {N, convolved_rows, convolved_columns, O}};
  const Work work = {images, rows, columns, chunk, groups, width};
  input_gradient<0>(dx, dz, w, {N, H, W, C}, {J, K, J - 1 - top, K - 1 - left}, work);
}

extern "C" __global__ void __launch_bounds__(256, 2)
    conv2d_max_pool2d_weight_gradient(float* partial /*(>= gridDim.x, J, K, C, O)*/, const float* dy /*(N, P, Q, O)*/,
                                      const float* y /*(N, P, Q, O)*/, const unsigned char* winner /*(N, P, Q, O)*/,
                                      const float* x /*(N, H, W, C)*/, int N, int H, int W, int C, int P, int Q, int O,
                                      int J, int K, int top, int left, int convolved_rows, int convolved_columns,
                                      int activation, int images, int rows, int columns, int pitch, int block_rows,
                                      int row_groups, int column_groups) {
  const Unpooled dz = {{dy, y, {N, P, Q, O}, activation}, winner, {N, convolved_rows, convolved_columns, O}};
  const Image image = {x, {N, H, W, C}};
  weight_gradient<1>(partial, image, dz, false, {J, K, top, left},
                     {images, rows, columns, pitch, block_rows, row_groups, column_groups});
}
