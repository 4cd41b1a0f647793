// Upsampling by two and a convolution, with the parts that conv2d.cuh and up_sampling2d_conv2d.cuh have: the large
// image is never there.
//
// The 2 x 2 pixels of y at a pixel of x are four phases, each with its own (J+1)/2 x (K+1)/2 sums of weights. Forward,
// a thread computes one phase of 2 x 2 pixels of x, from a tile that all phases share. Backward, dz is read in steps of
// two.
//
// Floor: N P Q (J+1)/2 (K+1)/2 C O multiply-adds, 4 of 9 with 3x3 taps, and 4 N (H W C + P Q O) bytes; backward twice
// each and dz's y. From 8 to 16 channels, 8x8 to 14x14 pixels, these are 7 multiply-adds a byte, from 16 channels to 1,
// 14x14 to 28x28, they are 3: an H200 does 8 in the time of a byte (conv2d.cu), so memory is the limit.
#include "up_sampling2d_conv2d.cuh"

extern "C" __global__ void __launch_bounds__(256, 2)
    up_sampling2d_conv2d_forward(float* y /*(N, P, Q, O)*/, const float* x /*(N, H, W, C)*/,
                                 const float* w /*(J, K, C, O)*/, const float* b /*(O)*/, int N, int H, int W, int C,
                                 int P, int Q, int O, int J, int K, int top, int left, int activation, int images,
                                 int rows, int columns, int chunk, int groups, int width) {
  upsampled_convolution(y, {x, {N, H, W, C}}, w, b, {N, P, Q, O}, J, K, top, left, activation,
                        {images, rows, columns, chunk, groups, width}, turn_of_block());
}

extern "C" __global__ void __launch_bounds__(256, 2)
    up_sampling2d_conv2d_input_gradient(float* dx /*(N, H, W, C)*/, const float* dy /*(N, P, Q, O)*/,
                                        const float* y /*(N, P, Q, O)*/, const float* w /*(J, K, C, O)*/, int N, int H,
                                        int W, int C, int P, int Q, int O, int J, int K, int top, int left,
                                        int activation, int images, int rows, int columns, int chunk, int groups,
                                        int width) {
  const Derivative dz = {dy, y, {N, P, Q, O}, activation};
  const Work work = {images, rows, columns, chunk, groups, width};
  input_gradient<1>(dx, dz, w, {N, H, W, C}, {J + 1, K + 1, J - 1 - top, K - 1 - left}, work, turn_of_block());
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
                     {images, rows, columns, pitch, block_rows, row_groups, column_groups}, place_of_block());
}
