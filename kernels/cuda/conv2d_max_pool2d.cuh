// A convolution whose windows of 2 x 2 pixels are pooled: conv2d_max_pool2d.cu says how.
#include "conv2d.cuh"

// y and winner of a cell, which is a window; the convolution has rows x columns pixels.
__device__ __forceinline__ void write_largest(float* y, unsigned char* winner, float (&z)[4][WIDTH], const float* b,
                                              const Shape& shape, int rows, int columns, const Cell& cell,
                                              const Work& work, int activation) {
  const int o = own_channel(cell, work), count = count_channels(cell, work, shape.C);
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
  const bool by_fours = (shape.C | work.width) % 4 == 0 && is_aligned(y) && is_aligned(winner);
  write(y + at, z[0], count, by_fours);
#pragma unroll
  for (int i = 0; i < WIDTH; ++i) {
    if (by_fours && i % 4 == 0 && i < count) *reinterpret_cast<unsigned*>(winner + at + i) = winners[i / 4];
    if (!by_fours && i < count) winner[at + i] = winners[i / 4] >> 8 * (i % 4) & 255;
  }
}

// y and winner; the convolution has rows x columns pixels.
__device__ __forceinline__ void pooled_convolution(float* y, unsigned char* winner, const Image& x, const float* w,
                                                   const float* b, const Shape& shape, const Window& window, int rows,
                                                   int columns, int activation, const Work& work, const Turn& turn) {
  const Weights<false, 0> weights = {w, window.J, window.K, x.shape.C, shape.C};
  const Taps taps = {window.J, window.K, 0, 0, 0, window.K, 1};
  Cell cell(work, turn, 1);
  for (int tile = turn.first; cell.go_to(tile, turn, work, shape.N, shape.H, shape.W); tile += turn.step) {
    float z[4][WIDTH];
    convolve<1, 3>(z, x, weights, window, taps, cell, work, tile == turn.first);
    write_largest(y, winner, z, b, shape, rows, columns, cell, work, activation);
  }
}
