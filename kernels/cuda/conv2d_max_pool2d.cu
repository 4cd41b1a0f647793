// A convolution and its pooling, with the parts that conv2d.cuh and conv2d_max_pool2d.cuh have: the convolved image,
// four times as large, is not stored, nor is its gradient.
//
// Forward, a thread's 2 x 2 pixels are a window: the largest sum is found in registers, and gets bias and activation,
// which never turn an order round. Backward, y at a window's winner is the pooled y, so dz comes from dy, y and winner;
// it is spread to the winners as it comes to shared memory, and then is any convolution's.
//
// Floor: the multiply-adds of the convolution and 4 N (H W C + P Q O) + N P Q O bytes forward, for 1 channel in and 16
// out on 28x28 pixels 19 KB an image, of 119 KB that the two layers move on their own. Backward, 9 bytes for a number
// of y are read for dw, and again for dx. Three of four numbers of dz are zero, but which ones differs from channel to
// channel: to leave them out, a thread would read x for each of its channels at another place, a read a multiply-add.
#include "conv2d_max_pool2d.cuh"

extern "C" __global__ void __launch_bounds__(256, 2)
    conv2d_max_pool2d_forward(float* y /*(N, P, Q, O)*/, unsigned char* winner /*(N, P, Q, O)*/,
                              const float* x /*(N, H, W, C)*/, const float* w /*(J, K, C, O)*/, const float* b /*(O)*/,
                              int N, int H, int W, int C, int P, int Q, int O, int J, int K, int top, int left,
                              int convolved_rows, int convolved_columns, int activation, int images, int rows,
                              int columns, int chunk, int groups, int width) {
  pooled_convolution(y, winner, {x, {N, H, W, C}}, w, b, {N, P, Q, O}, {J, K, top, left}, convolved_rows,
                     convolved_columns, activation, {images, rows, columns, chunk, groups, width}, turn_of_block());
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
  input_gradient<0>(dx, dz, w, {N, H, W, C}, {J, K, J - 1 - top, K - 1 - left}, work, turn_of_block());
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
                     {images, rows, columns, pitch, block_rows, row_groups, column_groups}, place_of_block());
}
