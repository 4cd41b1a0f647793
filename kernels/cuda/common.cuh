// What all kernels share: activations in terms of their output, and sums whose order is fixed.
//
// Names are those of the contract (kernels/__init__.py): N samples, I and O features, dy the gradient of the loss with
// respect to y. No kernel adds floating-point numbers atomically, so the same inputs give the same bits.
#pragma once

constexpr int WARP = 32;
constexpr unsigned ALL = 0xffffffffu;  // lanes of a warp

enum Activation { LINEAR, RELU, SIGMOID, TANH };

// 1 / (1 + exp(-x)), written with exp(-|x|) so that it never overflows.
__device__ __forceinline__ float sigmoid(float x) {
  float e = expf(-fabsf(x));
  return (x < 0.f ? e : 1.f) / (1.f + e);
}

__device__ __forceinline__ float activate(float z, int activation) {
  if (activation == RELU) return z < 0.f ? 0.f : z;  // this way round a NaN stays a NaN
  if (activation == SIGMOID) return sigmoid(z);
  if (activation == TANH) return tanhf(z);
  return z;
}

// dz = dy * activation'(z) for y = activation(z).
__device__ __forceinline__ float through_activation(float dy, float y, int activation) {
  if (activation == RELU) return y > 0.f ? dy : 0.f * dy;  // of a NaN: NaN, as in all rooms
  if (activation == SIGMOID) return dy * (y * (1.f - y));
  if (activation == TANH) return dy * (1.f - y * y);
  return dy;
}

// The sum over a warp, in lane 0.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int step = WARP / 2; step > 0; step /= 2) x += __shfl_down_sync(ALL, x, step);
  return x;
}

// The sum over a block of THREADS threads, a multiple of 32, in thread 0. `partial` is shared, one number a warp.
template <int THREADS>
__device__ __forceinline__ float block_sum(float x, float* partial) {
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  x = warp_sum(x);
  if (lane == 0) partial[warp] = x;
  __syncthreads();
  if (warp == 0) x = warp_sum(lane < THREADS / WARP ? partial[lane] : 0.f);
  __syncthreads();  // the next sum may overwrite `partial`
  return x;
}

// Four neighbours of an array of floats, the share of a thread where all of it is passed over once.
struct Four {
  float at[4];
};

// Where this thread's share begins.
__device__ __forceinline__ long long first_of_four() { return 4 * (blockIdx.x * (long long)blockDim.x + threadIdx.x); }

// Whether a[i .. i+3] may be one access of 16 bytes: all of it within 0 .. n, at an address that is a multiple of 16.
__device__ __forceinline__ bool in_one_access(const float* a, long long i, long long n) {
  return i >= 0 && i + 4 <= n && reinterpret_cast<unsigned long long>(a + i) % 16 == 0;
}

// a[i .. i+3] of n elements, 0 for those outside.
__device__ __forceinline__ Four load_four(const float* a, long long i, long long n) {
  if (in_one_access(a, i, n)) {
    const float4 v = *reinterpret_cast<const float4*>(a + i);
    return {v.x, v.y, v.z, v.w};
  }
  Four v;
#pragma unroll
  for (int k = 0; k < 4; ++k) v.at[k] = i + k >= 0 && i + k < n ? a[i + k] : 0.f;
  return v;
}

// a[i .. i+3] = v but for those outside.
__device__ __forceinline__ void store_four(float* a, long long i, long long n, Four v) {
  if (in_one_access(a, i, n)) {
    *reinterpret_cast<float4*>(a + i) = make_float4(v.at[0], v.at[1], v.at[2], v.at[3]);
    return;
  }
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if (i + k >= 0 && i + k < n) a[i + k] = v.at[k];
  }
}

// Ends a sum over all blocks, of which thread 0 of each has its part: the only block adds scale * sum to value[0], one
// of several leaves its part in `partial` for the kernel add_partials (regularizer.cu).
__device__ __forceinline__ void end_sum(float sum, float* value, float* partial, float scale) {
  if (threadIdx.x != 0) return;
  if (gridDim.x == 1) {
    value[0] += scale * sum;
  } else {
    partial[blockIdx.x] = sum;
  }
}
