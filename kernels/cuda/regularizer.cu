// l1 sum |x| + l2 sum x^2, for parameters and for activations.
//
// Floor: 4 bytes an element forward, 12 backward. Forward, a block of 256 threads adds 4096 elements or more: up to
// that many take one launch. Above, at most 1024 blocks leave a sum each, and a second launch of one block adds these:
// four a thread, in an order that follows from their number alone.
#include "common.cuh"

constexpr int THREADS = 256;

extern "C" __global__ void __launch_bounds__(THREADS)
l1_l2_forward(float* value /*(1)*/, float* partial /*(gridDim.x)*/, const float* x /*(n)*/, long long n, float l1,
              float l2, float scale) {
  __shared__ float of_warp[THREADS / WARP];
  float sum = 0.f;
  for (long long i = first_of_four(); i < n; i += 4LL * THREADS * gridDim.x) {
    const Four v = load_four(x, i, n);
#pragma unroll
    for (int k = 0; k < 4; ++k) sum += l1 * fabsf(v.at[k]) + l2 * v.at[k] * v.at[k];
  }
  end_sum(block_sum<THREADS>(sum, of_warp), value, partial, scale);
}

extern "C" __global__ void __launch_bounds__(THREADS)
add_partials(float* value /*(1)*/, const float* partial /*(count)*/, int count, float scale) {
  __shared__ float of_warp[THREADS / WARP];
  float sum = 0.f;
  for (int i = threadIdx.x; i < count; i += THREADS) sum += partial[i];
  sum = block_sum<THREADS>(sum, of_warp);
  if (threadIdx.x == 0) value[0] += scale * sum;
}

// dx += l1 sign(x) + l2 x
extern "C" __global__ void __launch_bounds__(THREADS)
l1_l2_backward(float* dx /*(n)*/, const float* x /*(n)*/, long long n, float l1, float l2) {
  const long long i = first_of_four();
  if (i >= n) return;
  const Four v = load_four(x, i, n);
  Four sum = load_four(dx, i, n);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const float sign = v.at[k] < 0.f ? -1.f : v.at[k] > 0.f ? 1.f : v.at[k];  // a NaN stays
    sum.at[k] += l1 * sign + l2 * v.at[k];
  }
  store_four(dx, i, n, sum);
}
