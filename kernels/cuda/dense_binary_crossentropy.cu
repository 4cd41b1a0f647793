// A dense layer with a sigmoid, and the binary cross-entropy of its output: one launch, and a second one for the sums
// over tiles of logits and over samples, if these are few.
//
// The logits never leave the registers: each thread makes dz and terms of the loss of those it has summed. A row of a
// tile has its terms added in shared memory, in their order; a sample's tiles are added by binary_crossentropy_total.
//
// With e = exp(-|z|), a term is max(z, 0) - t z + log(1 + e). The factors 1 + e lie in [1, 2], so four of them are
// multiplied before one logarithm is taken, where probabilities need two logarithms for each. Keras takes those of a
// probability p that was rounded to float32 and clipped. Its lower bound is held by holding z. Above z = 9 the rounding
// of p is seen in log(1 - p), and that logarithm is taken as Keras does; log p is p - 1 there.
//
// Floor: 2 N I O FLOPs and 4 (N I + I O + 2 N O) bytes: 1.6 GFLOP and 56 MB for 8192 samples and 128 to 784 features.
// Apart, the layer would write its output and the loss read it, which is 51 MB more.
#include "gemm.cuh"

constexpr int TOTAL_THREADS = 1024;
constexpr float LOW = 1e-7f, HIGH = 1.f - 1e-7f;     // Keras' clip
constexpr float LOWEST = -16.1181f, ROUNDED = 9.f;  // logits: the last one whose p is below the clip; see above

struct Crossentropy {
  float* dz;
  const float *b, *t, *weight;
  int N, O, first_row, first_column;
  float scale;
  float* terms;  // shared: of each four, a row of `stride` for each row of the tile
  int stride;

  __device__ __forceinline__ void operator()(int n, int o, const Four& c) const {
    float sum = 0.f, rest = 1.f;
    if (n < N) {
      const Four bias = b ? load_four(b, o, O) : Four{}, target = load_four(t + (long long)n * O, o, O);
      const float factor = weight[n] * scale;
      Four gradient;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float z = c.at[i] + bias.at[i];
        z = z < LOWEST ? LOWEST : z;
        const float e = expf(-fabsf(z)), p = (z < 0.f ? e : 1.f) / (1.f + e);
        gradient.at[i] = factor * (p < LOW || p > HIGH ? 0.f : p - target.at[i]);
        if (o + i >= O) continue;
        if (z > ROUNDED) {
          const float q = 1.f - (p > HIGH ? HIGH : p);
          sum += target.at[i] * q - (1.f - target.at[i]) * logf(q);
        } else {
          sum += (z < 0.f ? 0.f : z) - target.at[i] * z;
          rest *= 1.f + e;
        }
      }
      store_four(dz + (long long)n * O, o, O, gradient);
    }
    terms[(n - first_row) * stride + (o - first_column) / 4] = sum + logf(rest);
  }
};

// loss (N,) of each column of tiles, one column after another.
template <class Tile>
__device__ __forceinline__ void crossentropy(float* loss, float* dz, const float* x, const float* w, const float* b,
                                             const float* t, const float* weight, int N, int I, int O, float scale) {
  constexpr int FOURS = Tile::COLUMNS / 4;
  __shared__ typename Tile::Shared shared;
  __shared__ float terms[Tile::ROWS][FOURS + 1];
  const int across = (O + Tile::COLUMNS - 1) / Tile::COLUMNS, column = blockIdx.x % across;
  const int n = blockIdx.x / across * Tile::ROWS, o = column * Tile::COLUMNS;
  product<Tile>(Crossentropy{dz, b, t, weight, N, O, n, o, scale, terms[0], FOURS + 1}, Matrix<ALONG_K>{x, N, I},
                Matrix<ACROSS_K>{w, I, O}, n, o, 0, I, shared);
  __syncthreads();
  if (threadIdx.x < Tile::ROWS && n + threadIdx.x < N) {
    float sum = 0.f;
    for (int i = 0; i < FOURS; ++i) sum += terms[threadIdx.x][i];
    loss[(long long)column * N + n + threadIdx.x] = scale * sum;
  }
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_binary_crossentropy_small(float* __restrict__ loss /*(>= N)*/, float* __restrict__ dz /*(N, O)*/,
                                const float* __restrict__ x /*(N, I)*/, const float* __restrict__ w /*(I, O)*/,
                                const float* __restrict__ b /*(O)*/, const float* __restrict__ t /*(N, O)*/,
                                const float* __restrict__ weight /*(N)*/, int N, int I, int O, float scale) {
  crossentropy<SmallTile>(loss, dz, x, w, b, t, weight, N, I, O, scale);
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_binary_crossentropy_large(float* __restrict__ loss /*(>= N)*/, float* __restrict__ dz /*(N, O)*/,
                                const float* __restrict__ x /*(N, I)*/, const float* __restrict__ w /*(I, O)*/,
                                const float* __restrict__ b /*(O)*/, const float* __restrict__ t /*(N, O)*/,
                                const float* __restrict__ weight /*(N)*/, int N, int I, int O, float scale) {
  crossentropy<LargeTile>(loss, dz, x, w, b, t, weight, N, I, O, scale);
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_binary_crossentropy_tf32x3(float* __restrict__ loss /*(>= N)*/, float* __restrict__ dz /*(N, O)*/,
                                 const float* __restrict__ x /*(N, I)*/, const float* __restrict__ w /*(I, O)*/,
                                 const float* __restrict__ b /*(O)*/, const float* __restrict__ t /*(N, O)*/,
                                 const float* __restrict__ weight /*(N)*/, int N, int I, int O, float scale) {
  crossentropy<TensorTile<3>>(loss, dz, x, w, b, t, weight, N, I, O, scale);
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_binary_crossentropy_tf32(float* __restrict__ loss /*(>= N)*/, float* __restrict__ dz /*(N, O)*/,
                               const float* __restrict__ x /*(N, I)*/, const float* __restrict__ w /*(I, O)*/,
                               const float* __restrict__ b /*(O)*/, const float* __restrict__ t /*(N, O)*/,
                               const float* __restrict__ weight /*(N)*/, int N, int I, int O, float scale) {
  crossentropy<TensorTile<1>>(loss, dz, x, w, b, t, weight, N, I, O, scale);
}

// loss[n] = the sum of its parts. Unless total is null, there is one block, which adds the weighted sum of all to it.
extern "C" __global__ void __launch_bounds__(TOTAL_THREADS)
binary_crossentropy_total(float* __restrict__ total /*(1)*/, float* __restrict__ loss /*(N)*/,
                          const float* __restrict__ parts /*(tiles, N)*/, const float* __restrict__ weight /*(N)*/,
                          int N, int tiles) {
  __shared__ float of_warp[TOTAL_THREADS / WARP];
  float weighted = 0.f;
  for (int n = blockIdx.x * blockDim.x + threadIdx.x; n < N; n += gridDim.x * blockDim.x) {
    float sum = 0.f;
#pragma unroll 8
    for (int i = 0; i < tiles; ++i) sum += parts[(long long)i * N + n];
    loss[n] = sum;
    weighted += weight[n] * sum;
  }
  if (!total) return;
  weighted = block_sum<TOTAL_THREADS>(weighted, of_warp);
  if (threadIdx.x == 0) total[0] += weighted;
}
