// Losses: the value of each sample and the gradient of the weighted sum over the batch, in one pass.
//
// Floor: 12 bytes an element, 8 where no gradient is asked for. A thread takes four neighbours of a sample at a time,
// and a sample has as many warps, up to eight, as that keeps busy: 784 elements are 196 fours for 256 threads, while
// eight samples of up to 128 elements share a block. Each thread adds its terms in their order, then the lanes of a
// warp are added, then the warps: an order that follows from the size of a sample alone.
//
// A sample has one block, so few samples of very many elements keep few of a GPU's multiprocessors busy.
#include "common.cuh"

constexpr int THREADS = 256;
constexpr float LOW = 1e-7f, HIGH = 1.f - 1e-7f;  // Keras' clip

enum Loss { CROSSENTROPY, SQUARED, ABSOLUTE, ACCURACY };

__device__ __forceinline__ float clip(float p) {
  return p < LOW ? LOW : p > HIGH ? HIGH : p;  // a NaN stays
}

template <int LOSS>
__device__ __forceinline__ float term(float p, float t, float threshold) {
  if (LOSS == CROSSENTROPY) {
    const float c = clip(p);
    return -t * logf(c) - (1.f - t) * logf(1.f - c);
  }
  if (LOSS == SQUARED) return (p - t) * (p - t);
  if (LOSS == ABSOLUTE) return fabsf(p - t);
  return (p > threshold ? 1.f : 0.f) == t ? 1.f : 0.f;
}

// The term's derivative with respect to p.
template <int LOSS>
__device__ __forceinline__ float slope(float p, float t) {
  if (LOSS == CROSSENTROPY) {
    const float c = clip(p), inside = p < LOW || p > HIGH ? 0.f : 1.f;
    return inside * (c - t) / (c * (1.f - c));
  }
  const float d = p - t;
  if (LOSS == SQUARED) return 2.f * d;
  return d < 0.f ? -1.f : d > 0.f ? 1.f : d;
}

// Threads (x, y): x counts along the elements of a sample, y the samples of a block. D elements a sample.
template <int LOSS>
__device__ __forceinline__ void per_sample(float* loss, float* dy, const float* p, const float* t, const float* weight,
                                           long long N, long long D, float scale, float threshold) {
  __shared__ float of_warp[THREADS / WARP];
  const long long n = blockIdx.x * (long long)blockDim.y + threadIdx.y;
  const int warps = blockDim.x / WARP, first_warp = threadIdx.y * warps;  // of this sample
  float sum = 0.f;
  if (n < N) {
    p += n * D, t += n * D;
    const float factor = dy ? weight[n] * scale : 0.f;
    for (long long i = 4 * threadIdx.x; i < D; i += 4 * blockDim.x) {
      const Four prediction = load_four(p, i, D), target = load_four(t, i, D);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (i + k < D) sum += term<LOSS>(prediction.at[k], target.at[k], threshold);
      }
      if (LOSS != ACCURACY && dy) {
        Four gradient;
#pragma unroll
        for (int k = 0; k < 4; ++k) gradient.at[k] = factor * slope<LOSS>(prediction.at[k], target.at[k]);
        store_four(dy + n * D, i, D, gradient);
      }
    }
  }
  sum = warp_sum(sum);
  if (threadIdx.x % WARP == 0) of_warp[first_warp + threadIdx.x / WARP] = sum;
  __syncthreads();
  if (n < N && threadIdx.x == 0) {
    sum = 0.f;
    for (int warp = 0; warp < warps; ++warp) sum += of_warp[first_warp + warp];
    loss[n] = scale * sum;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS)
binary_crossentropy(float* loss /*(N)*/, float* dy /*(N, D)*/, const float* p /*(N, D)*/, const float* t /*(N, D)*/,
                    const float* weight /*(N)*/, long long N, long long D, float scale) {
  per_sample<CROSSENTROPY>(loss, dy, p, t, weight, N, D, scale, 0.f);
}

extern "C" __global__ void __launch_bounds__(THREADS)
mean_squared_error(float* loss /*(N)*/, float* dy /*(N, D)*/, const float* p /*(N, D)*/, const float* t /*(N, D)*/,
                   const float* weight /*(N)*/, long long N, long long D, float scale) {
  per_sample<SQUARED>(loss, dy, p, t, weight, N, D, scale, 0.f);
}

extern "C" __global__ void __launch_bounds__(THREADS)
mean_absolute_error(float* loss /*(N)*/, float* dy /*(N, D)*/, const float* p /*(N, D)*/, const float* t /*(N, D)*/,
                    const float* weight /*(N)*/, long long N, long long D, float scale) {
  per_sample<ABSOLUTE>(loss, dy, p, t, weight, N, D, scale, 0.f);
}

extern "C" __global__ void __launch_bounds__(THREADS)
binary_accuracy(float* value /*(N)*/, const float* p /*(N, D)*/, const float* t /*(N, D)*/, long long N, long long D,
                float threshold) {
  per_sample<ACCURACY>(value, nullptr, p, t, nullptr, N, D, 1.f / D, threshold);
}

// One block: a batch has few samples.
extern "C" __global__ void __launch_bounds__(THREADS)
weighted_sum(float* total /*(1)*/, const float* values /*(N)*/, const float* weight /*(N)*/, long long N) {
  __shared__ float of_warp[THREADS / WARP];
  float sum = 0.f;
  for (long long n = 4 * threadIdx.x; n < N; n += 4 * THREADS) {
    const Four value = load_four(values, n, N), by = load_four(weight, n, N);
#pragma unroll
    for (int k = 0; k < 4; ++k) sum += by.at[k] * value.at[k];
  }
  sum = block_sum<THREADS>(sum, of_warp);
  if (threadIdx.x == 0) total[0] += sum;
}
