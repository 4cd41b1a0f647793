// The reparameterization trick and the Kullback-Leibler divergence (Kingma & Welling 2014).
//
// Floor: 12 bytes an element forward, 20 backward, and 4 more where the noise is given. The divergence is computed from
// what sampling reads anyway, and saves two launches a step. It is summed as the penalty of regularizer.cu is: up to
// 4096 elements are one block's, and forward is one launch. Noise that is drawn again instead of stored saves 8 bytes an
// element, and memory.
#include "random.cuh"

constexpr int THREADS = 256;

// The noise of elements i .. i+3: what is given, or this thread's block of numbers.
__device__ __forceinline__ Four noise_of_four(const float* noise, long long i, long long n, long long start,
                                              unsigned k0, unsigned k1, const unsigned long long* step) {
  return noise ? load_four(noise, i, n) : normals(block_of(i, start), step[0], k0, k1);
}

// Without a value nobody asks for the divergence. Near mean = log_var = 0 its terms cancel: expm1f keeps the digits that
// 1 - expf would lose.
extern "C" __global__ void __launch_bounds__(THREADS)
sampling_forward(float* z /*(n)*/, float* value /*(1)*/, float* partial /*(gridDim.x)*/, const float* mean /*(n)*/,
                 const float* log_var /*(n)*/, const float* noise /*(n)*/, long long n, long long start, unsigned k0,
                 unsigned k1, const unsigned long long* step /*(1)*/, float scale) {
  __shared__ float of_warp[THREADS / WARP];
  float sum = 0.f;
  for (long long i = first_of_block(start); i < n; i += 4LL * THREADS * gridDim.x) {
    const Four m = load_four(mean, i, n), v = load_four(log_var, i, n);  // 0 outside, where there is no divergence
    Four sample = noise_of_four(noise, i, n, start, k0, k1, step);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      sample.at[k] = m.at[k] + expf(0.5f * v.at[k]) * sample.at[k];
      sum += -0.5f * (v.at[k] - m.at[k] * m.at[k] - expm1f(v.at[k]));
    }
    store_four(z, i, n, sample);
  }
  if (value) end_sum(block_sum<THREADS>(sum, of_warp), value, partial, scale);
}

extern "C" __global__ void __launch_bounds__(THREADS)
sampling_backward(float* dmean /*(n)*/, float* dlog_var /*(n)*/, const float* dz /*(n)*/, const float* mean /*(n)*/,
                  const float* log_var /*(n)*/, const float* noise /*(n)*/, long long n, long long start, unsigned k0,
                  unsigned k1, const unsigned long long* step /*(1)*/, float scale) {
  const long long i = first_of_block(start);
  if (i >= n) return;
  const Four m = load_four(mean, i, n), v = load_four(log_var, i, n);
  Four of_mean = load_four(dz, i, n), of_log_var = noise_of_four(noise, i, n, start, k0, k1, step);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    of_log_var.at[k] *= of_mean.at[k] * (0.5f * expf(0.5f * v.at[k]));
    if (scale != 0.f) {  // 0 times a variance that is infinite would be NaN
      of_mean.at[k] += scale * m.at[k];
      of_log_var.at[k] += scale * 0.5f * expm1f(v.at[k]);
    }
  }
  store_four(dmean, i, n, of_mean);
  store_four(dlog_var, i, n, of_log_var);
}
