// Convolutions, with the parts that conv2d.cuh has.
//
//   forward          Blocks compute tiles of y, one after the other. The weights are brought once, x tile by tile with
//                    the border that the taps reach; 2 x 2 pixels x 8 channels are summed in a thread's registers.
//   input gradient   The same from dz = dy activation'(y), which is computed as it is read, and the turned weights.
//   weight gradient  Blocks, two for each of 132 multiprocessors at most, go over all tiles and keep their sums in
//                    registers until the end. The windows are taken from x, or from dz where it has fewer channels.
//   add partials     The sums of the blocks, in their order, become dw and db.
//
// Floor: N P Q J K C O multiply-adds and 4 N (H W C + P Q O) bytes, backward twice each and dz's y. From 16 to 8
// channels on 14x14 pixels, 3x3 taps have 12 multiply-adds a byte, from 1 to 16 on 28x28 they have 2. An H200 does 8 in
// the time of a byte (67 TFLOP/s, 4.3 TB/s), so the first is bound by arithmetic and the second by memory.
//
// A multiprocessor does 128 multiply-adds a clock and reads from shared memory once a clock, for a warp. Forward, a
// warp's 288 for each channel and 3x3 taps take 72 clocks. It reads 16 numbers of x in 1.9 turns each, as rows of cells
// are shorter than a warp, and 18 fours of weights: 48 clocks. The weight gradient's 72 for a pixel a lane take 18, and
// 9 numbers of a and two fours of b, in four turns each, 17. (Turns are the emulator's, for 14x14 and 28x28 pixels.)
#include "conv2d.cuh"

extern "C" __global__ void __launch_bounds__(256, 2)
    conv2d_forward(float* y /*(N, P, Q, O)*/, const float* x /*(N, H, W, C)*/, const float* w /*(J, K, C, O)*/,
                   const float* b /*(O)*/, int N, int H, int W, int C, int P, int Q, int O, int J, int K, int top,
                   int left, int activation, int images, int rows, int columns, int chunk, int groups, int width) {
  const Image image = {x, {N, H, W, C}};
  const Shape shape = {N, P, Q, O};
  const Window window = {J, K, top, left};
  const Work work = {images, rows, columns, chunk, groups, width};
  const Weights<false, 0> weights = {w, J, K, C, O};
  Cell cell(work, 1);
  for (int tile = blockIdx.x; cell.go_to(tile, work, N, ceil_div(P, 2), ceil_div(Q, 2)); tile += gridDim.x) {
    float z[4][WIDTH];
    convolve<1, 3>(z, image, weights, window, {J, K, 0, 0, 0, K, 1}, cell, work, tile == blockIdx.x);
    write_cell<1>(y, z, b, shape, cell, work, activation);
  }
}

extern "C" __global__ void __launch_bounds__(256, 2)
    conv2d_input_gradient(float* dx /*(N, H, W, C)*/, const float* dy /*(N, P, Q, O)*/, const float* y /*(N, P, Q, O)*/,
                          const float* w /*(J, K, C, O)*/, int N, int H, int W, int C, int P, int Q, int O, int J,
                          int K, int top, int left, int activation, int images, int rows, int columns, int chunk,
                          int groups, int width) {
  const Derivative dz = {dy, y, {N, P, Q, O}, activation};
  const Work work = {images, rows, columns, chunk, groups, width};
  input_gradient<0>(dx, dz, w, {N, H, W, C}, {J, K, J - 1 - top, K - 1 - left}, work);
}

// Of a and b, one is x, whose "activation" is linear, and the other dz: see conv2d.py.
extern "C" __global__ void __launch_bounds__(256, 2)
    conv2d_weight_gradient(float* partial /*(>= gridDim.x, J, K, C, O)*/, const float* a /*(N, H, W, C)*/,
                           const float* a_y /*(N, H, W, C)*/, int a_activation, const float* b /*(N, P, Q, O)*/,
                           const float* b_y /*(N, P, Q, O)*/, int b_activation, int a_is_dz, int N, int H, int W,
                           int C, int P, int Q, int O, int J, int K, int top, int left, int images, int rows,
                           int columns, int pitch, int block_rows, int row_groups, int column_groups) {
  const Derivative windows = {a, a_y, {N, H, W, C}, a_activation}, pixels = {b, b_y, {N, P, Q, O}, b_activation};
  weight_gradient<1>(partial, windows, pixels, a_is_dz, {J, K, top, left},
                     {images, rows, columns, pitch, block_rows, row_groups, column_groups});
}

// dw and db, or what of them is not null, from the partial sums of `parts` blocks. A lane takes a number, and each warp
// of the block every eighth part. With fold = 1 a weight's gradient is that of the 2 x 2 sums which it belongs to.
extern "C" __global__ void __launch_bounds__(256, 2)
    conv2d_add_partials(float* dw /*(J, K, C, O)*/, float* db /*(O)*/, const float* partial /*(>= parts, J, K, C, O)*/,
                        int parts, int J, int K, int C, int O, int a_is_dz, int fold, int accumulate) {
  __shared__ float sums[WARPS][WARP];
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  const long long weights = static_cast<long long>(J) * K * C * O;
  const long long products = static_cast<long long>(J + fold) * (K + fold) * C * O;
  const long long i = static_cast<long long>(blockIdx.x) * WARP + lane;
  const bool is_weight = i < weights, is_bias = !is_weight && i < weights + O;

  // neighbours read neighbours: i counts channel of a, tap, channel of b
  const int inner = a_is_dz ? C : O, b = i % inner, k = i / inner % K, j = i / inner / K % J, a = i / inner / K / J;
  const int row = a_is_dz ? J - 1 - j : j, column = a_is_dz ? K - 1 - k : k, more = is_weight ? fold : 0;
  const long long at = is_bias ? products + i - weights
                               : ((static_cast<long long>(a) * (J + fold) + row) * (K + fold) + column) * inner + b;
  float sum = 0.f;
  if (is_weight || is_bias) {
#pragma unroll 4
    for (int part = warp; part < parts; part += WARPS) {
      const float* from = partial + part * (products + O) + at;
      for (int m = 0; m <= more; ++m) {
        for (int n = 0; n <= more; ++n) sum += from[(static_cast<long long>(m) * (K + fold) + n) * inner];
      }
    }
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp > 0) return;
#pragma unroll
  for (int other = 1; other < WARPS; ++other) sum += sums[other][lane];
  const int c = a_is_dz ? b : a, o = a_is_dz ? a : b;
  float* to = is_weight ? dw : db;
  const long long place = is_weight ? ((static_cast<long long>(j) * K + k) * C + c) * O + o : i - weights;
  if ((is_weight || is_bias) && to != nullptr) to[place] = accumulate ? to[place] + sum : sum;
}
