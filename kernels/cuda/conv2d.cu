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
  convolution(y, {x, {N, H, W, C}}, w, b, {N, P, Q, O}, {J, K, top, left}, activation,
              {images, rows, columns, chunk, groups, width}, turn_of_block());
}

extern "C" __global__ void __launch_bounds__(256, 2)
    conv2d_input_gradient(float* dx /*(N, H, W, C)*/, const float* dy /*(N, P, Q, O)*/, const float* y /*(N, P, Q, O)*/,
                          const float* w /*(J, K, C, O)*/, int N, int H, int W, int C, int P, int Q, int O, int J,
                          int K, int top, int left, int activation, int images, int rows, int columns, int chunk,
                          int groups, int width) {
  const Derivative dz = {dy, y, {N, P, Q, O}, activation};
  const Work work = {images, rows, columns, chunk, groups, width};
  input_gradient<0>(dx, dz, w, {N, H, W, C}, {J, K, J - 1 - top, K - 1 - left}, work, turn_of_block());
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
                     {images, rows, columns, pitch, block_rows, row_groups, column_groups}, place_of_block());
}

extern "C" __global__ void __launch_bounds__(256, 2)
    conv2d_add_partials(float* dw /*(J, K, C, O)*/, float* db /*(O)*/, const float* partial /*(>= parts, J, K, C, O)*/,
                        int parts, int J, int K, int C, int O, int a_is_dz, int fold, int accumulate) {
  add_partials(dw, db, partial, parts, J, K, C, O, a_is_dz, fold, accumulate, blockIdx.x);
}
