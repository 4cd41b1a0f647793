// Noise: one thread makes a block of four random numbers and applies them to four elements.
//
// Floor: 4 bytes an element for `normal`, 8 for the others. Four numbers take 40 multiplications of integers; normal
// ones two logarithms, two square roots and two sines with their cosines besides. Nothing is stored for backward.
#include "random.cuh"

constexpr int THREADS = 256;

extern "C" __global__ void __launch_bounds__(THREADS)
normal(float* out /*(n)*/, long long n, long long start, unsigned k0, unsigned k1,
       const unsigned long long* step /*(1)*/) {
  const long long i = first_of_block(start);
  if (i < n) store_four(out, i, n, normals(block_of(i, start), step[0], k0, k1));
}

extern "C" __global__ void __launch_bounds__(THREADS)
gaussian_noise_forward(float* y /*(n)*/, const float* x /*(n)*/, long long n, float stddev, long long start,
                       unsigned k0, unsigned k1, const unsigned long long* step /*(1)*/) {
  const long long i = first_of_block(start);
  if (i >= n) return;
  const Four noise = normals(block_of(i, start), step[0], k0, k1);
  Four value = load_four(x, i, n);
#pragma unroll
  for (int k = 0; k < 4; ++k) value.at[k] += stddev * noise.at[k];
  store_four(y, i, n, value);
}

// Forward and backward: y = x / (1 - rate) or 0 x.
extern "C" __global__ void __launch_bounds__(THREADS)
dropout(float* y /*(n)*/, const float* x /*(n)*/, long long n, float rate, float rest, long long start, unsigned k0,
        unsigned k1, const unsigned long long* step /*(1)*/) {
  const long long i = first_of_block(start);
  if (i >= n) return;
  const Words words = philox4x32(block_of(i, start), step[0], k0, k1);
  Four value = load_four(x, i, n);
#pragma unroll
  for (int k = 0; k < 4; ++k) value.at[k] *= uniform_24(words.at[k]) >= rate ? 1.f / rest : 0.f;  // a NaN stays
  store_four(y, i, n, value);
}
