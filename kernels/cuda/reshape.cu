// Copies, sums and scales of whole tensors, four elements a thread, and the gather of a batch from a data set.
//
// A tensor is row-major whatever its rank, so another shape is a copy. Floor: 8 bytes an element, 12 for `add`. An
// element that is gathered costs 4 and the size of what it was, so bytes take 5 where floats take 8.
#include "common.cuh"

extern "C" __global__ void copy(float* y, const float* x, long long n) {
  const long long i = first_of_four();
  store_four(y, i, n, load_four(x, i, n));
}

extern "C" __global__ void rescale(float* y, const float* x, long long n, float scale, float offset) {
  const long long i = first_of_four();
  Four v = load_four(x, i, n);
#pragma unroll
  for (int k = 0; k < 4; ++k) v.at[k] = scale * v.at[k] + offset;
  store_four(y, i, n, v);
}

extern "C" __global__ void add(float* y, const float* x, long long n) {
  const long long i = first_of_four();
  Four v = load_four(y, i, n), more = load_four(x, i, n);
#pragma unroll
  for (int k = 0; k < 4; ++k) v.at[k] += more.at[k];
  store_four(y, i, n, v);
}

// x (N, D): row n is row rows[n] of data, or row n where there are no `rows`. A block takes blockDim.y rows, and each
// of its warps neighbours of one of them. What is not finite is rare, so each such element may count itself: integers
// add up to the same in any order.
template <typename Number>
__device__ __forceinline__ void gather(float* x, const Number* data, const long long* rows, long long* invalid,
                                       long long N, long long D, float scale) {
  long long n = blockIdx.x * (long long)blockDim.y + threadIdx.y;
  if (n >= N) return;
  long long row = rows ? rows[n] : n;
  for (long long d = blockIdx.y * (long long)blockDim.x + threadIdx.x; d < D; d += gridDim.y * (long long)blockDim.x) {
    float value = scale * data[row * D + d];
    x[n * D + d] = value;
    if (!(value - value == 0.f)) atomicAdd((unsigned long long*)invalid, 1ull);  // infinity - infinity is NaN
  }
}

extern "C" __global__ void gather_bytes(float* x, const unsigned char* data, const long long* rows, long long* invalid,
                                        long long N, long long D, float scale) {
  gather(x, data, rows, invalid, N, D, scale);
}

extern "C" __global__ void gather_floats(float* x, const float* data, const long long* rows, long long* invalid,
                                         long long N, long long D, float scale) {
  gather(x, data, rows, invalid, N, D, scale);
}
