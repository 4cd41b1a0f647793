// Copies, sums and scales of whole tensors, four elements a thread, and the gather of a batch from a data set.
//
// A tensor is row-major whatever its rank, so another shape is a copy. Floor: 8 bytes an element, 12 for `add`. An
// element that is gathered costs 4 and the size of what it was, so bytes take 5 where floats take 8.
#include "common.cuh"

extern "C" __global__ void copy(float* y /*(n)*/, const float* x /*(n)*/, long long n) {
  const long long i = first_of_four();
  store_four(y, i, n, load_four(x, i, n));
}

extern "C" __global__ void rescale(float* y /*(n)*/, const float* x /*(n)*/, long long n, float scale, float offset) {
  const long long i = first_of_four();
  Four v = load_four(x, i, n);
#pragma unroll
  for (int k = 0; k < 4; ++k) v.at[k] = scale * v.at[k] + offset;
  store_four(y, i, n, v);
}

extern "C" __global__ void add(float* y /*(n)*/, const float* x /*(n)*/, long long n) {
  const long long i = first_of_four();
  Four v = load_four(y, i, n), more = load_four(x, i, n);
#pragma unroll
  for (int k = 0; k < 4; ++k) v.at[k] += more.at[k];
  store_four(y, i, n, v);
}

// x (N, D): row n is row rows[n] of data, or where there is a counter, row rows[batch[0] * size + n]; row n where there
// are no `rows`. A block takes blockDim.y rows, and each of its warps neighbours of one of them.
template <typename Number>
__device__ __forceinline__ void gather(float* x, const Number* data, const long long* rows, const long long* batch,
                                       int* flag, int N, int D, float scale, long long size) {
  const long long n = blockIdx.x * (long long)blockDim.y + threadIdx.y;
  if (n >= N) return;
  const long long first = batch ? batch[0] * size : 0;
  const long long row = rows ? rows[first + n] : n;
  bool finite = true;
  for (long long d = blockIdx.y * (long long)blockDim.x + threadIdx.x; d < D; d += gridDim.y * (long long)blockDim.x) {
    const float value = scale * data[row * D + d];
    x[n * D + d] = value;
    finite = finite && value - value == 0.f;  // infinity - infinity is NaN
  }
  if (!finite) atomicExch(flag, 1);
}

extern "C" __global__ void gather_bytes(float* x /*(N, D)*/, const unsigned char* data /*(>= D)*/,
                                        const long long* rows /*(>= N)*/, const long long* batch /*(1)*/,
                                        int* flag /*(1)*/, int N, int D, float scale, long long size) {
  gather(x, data, rows, batch, flag, N, D, scale, size);
}

extern "C" __global__ void gather_floats(float* x /*(N, D)*/, const float* data /*(>= D)*/,
                                         const long long* rows /*(>= N)*/, const long long* batch /*(1)*/,
                                         int* flag /*(1)*/, int N, int D, float scale, long long size) {
  gather(x, data, rows, batch, flag, N, D, scale, size);
}
