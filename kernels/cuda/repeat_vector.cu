// One vector at every time step, or at the last steps only, and the sum over them.
//
// A thread has one feature of one sample and walks through time: neighbouring threads read and write neighbouring
// numbers, each number of x is read or written once, and the place of a sample is divided out once, not at every step.
// Floor: 4 bytes for each number of y and of x.
#include "common.cuh"

// y (N, T, D) is x (N, D) at the steps from `first` on, and zero before.
extern "C" __global__ void spread(float* y /*(N, T, D)*/, const float* x /*(N, D)*/, long long N, int T, int D,
                                  int first) {
  long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i >= N * D) return;
  long long n = i / D, at = n * T * D + i % D;
  float value = x[i];
  for (int t = 0; t < T; t++) y[at + (long long)t * D] = t < first ? 0.f : value;
}

// x (N, D) is the sum of y (N, T, D) over the steps from `first` on.
extern "C" __global__ void total(float* x /*(N, D)*/, const float* y /*(N, T, D)*/, long long N, int T, int D,
                                 int first) {
  long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i >= N * D) return;
  long long n = i / D, at = n * T * D + i % D;
  float sum = 0.f;
  for (int t = first; t < T; t++) sum += y[at + (long long)t * D];
  x[i] = sum;
}
