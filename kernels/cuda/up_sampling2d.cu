// Nearest-neighbour upsampling by two, one thread an element of what is written.
//
// Floor, for each number of the small image: it and four of the large one, 20 bytes in either direction. Before a
// convolution the large image is never there: up_sampling2d_conv2d.cu.
#include "common.cuh"

// Small images have `rows` rows in all, and row r of the large ones belongs to their row r / 2. A block has blockDim.y
// rows and blockDim.x elements of each, which are neighbours in memory.
extern "C" __global__ void __launch_bounds__(256)
    up_sampling2d_forward(float* y /*(4, rows, W, C)*/, const float* x /*(rows, W, C)*/, int rows, int W, int C) {
  const unsigned row = blockIdx.x * blockDim.y + threadIdx.y, i = blockIdx.y * blockDim.x + threadIdx.x;
  if (row >= 2u * rows || i >= 2 * W * C) return;
  const long long from = static_cast<long long>(row / 2) * W * C, to = static_cast<long long>(row) * 2 * W * C;
  y[to + i] = x[from + i / C / 2 * C + i % C];
}

extern "C" __global__ void __launch_bounds__(256)
    up_sampling2d_backward(float* dx /*(rows, W, C)*/, const float* dy /*(4, rows, W, C)*/, int rows, int W, int C) {
  const unsigned row = blockIdx.x * blockDim.y + threadIdx.y, i = blockIdx.y * blockDim.x + threadIdx.x;
  if (row >= rows || i >= W * C) return;
  const float* above = dy + static_cast<long long>(row) * 4 * W * C + i / C * 2 * C + i % C;
  const float* below = above + 2 * W * C;
  dx[static_cast<long long>(row) * W * C + i] = (above[0] + above[C]) + (below[0] + below[C]);
}
