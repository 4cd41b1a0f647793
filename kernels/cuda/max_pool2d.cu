// Pooling by two, one thread an element of what is written: y forward, and backward all of dx.
//
// Floor, for each number of y: 4 numbers of x are read, it and its winner are written, 21 bytes, and as many go back.
// Neighbours in a row are neighbours in a warp, so forward and backward move no byte twice but dy and winner, which the
// four elements of a window read one after the other: three of them find both in the first-level cache.
#include "common.cuh"

// Where a thread stands: a block has blockDim.y rows of pixels, of all images, and blockDim.x elements of each.
struct Element {
  unsigned row, i, c;  // i over a row's columns and channels
  int column;

  __device__ __forceinline__ explicit Element(int C)
      : row(blockIdx.x * blockDim.y + threadIdx.y), i(blockIdx.y * blockDim.x + threadIdx.x), c(i % C), column(i / C) {}
};

extern "C" __global__ void __launch_bounds__(256)
    max_pool2d_forward(float* y /*(N, P, Q, C)*/, unsigned char* winner /*(N, P, Q, C)*/,
                       const float* x /*(N, H, W, C)*/, int N, int H, int W, int C, int P, int Q) {
  const Element e(C);
  if (e.row >= static_cast<unsigned>(N) * P || e.column >= Q) return;
  const int n = e.row / P, p = e.row % P, q = e.column;
  const float* first = x + ((static_cast<long long>(n) * H + 2 * p) * W + 2 * q) * C + e.c;
  const bool below = 2 * p + 1 < H, right = 2 * q + 1 < W;
  float best = first[0];
  int place = 0;
#pragma unroll
  for (int pixel = 1; pixel < 4; ++pixel) {
    if ((pixel >= 2 && !below) || (pixel % 2 == 1 && !right)) continue;
    const float other = first[(static_cast<long long>(pixel / 2) * W + pixel % 2) * C];
    if (other > best || (other != other && best == best)) {  // a NaN wins, the first one of several
      best = other;
      place = pixel;
    }
  }
  const long long at = static_cast<long long>(e.row) * Q * C + e.i;
  y[at] = best;
  winner[at] = place;
}

extern "C" __global__ void __launch_bounds__(256)
    max_pool2d_backward(float* dx /*(N, H, W, C)*/, const float* dy /*(N, P, Q, C)*/,
                        const unsigned char* winner /*(N, P, Q, C)*/, int N, int H, int W, int C, int P, int Q) {
  const Element e(C);
  if (e.row >= static_cast<unsigned>(N) * H || e.column >= W) return;
  const int n = e.row / H, h = e.row % H, w = e.column;
  float gradient = 0.f;
  if (h / 2 < P && w / 2 < Q) {  // "valid" leaves out an odd last row or column
    const long long at = ((static_cast<long long>(n) * P + h / 2) * Q + w / 2) * C + e.c;
    if (winner[at] == h % 2 * 2 + w % 2) gradient = dy[at];
  }
  dx[static_cast<long long>(e.row) * W * C + e.i] = gradient;
}
