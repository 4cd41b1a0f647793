// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror & Shaw, SC 2011) and Box & Muller 1958.
//
// The integers are the same as reference/random.py's, the normal numbers the same to rounding. Element e of the logical
// array takes word e mod 4 of counter (e / 4, step). An array of n elements whose first is element `start` need not
// begin where a block of four words does: each thread makes a whole block and uses what falls on the array.
#pragma once
#include "common.cuh"

struct Words {
  unsigned at[4];
};

// Ten rounds on the counter (block, step) with the key (k0, k1).
__device__ __forceinline__ Words philox4x32(unsigned long long block, unsigned long long step, unsigned k0,
                                            unsigned k1) {
  constexpr unsigned M0 = 0xD2511F53u, M1 = 0xCD9E8D57u;
  unsigned c0 = (unsigned)block, c1 = (unsigned)(block >> 32), c2 = (unsigned)step, c3 = (unsigned)(step >> 32);
#pragma unroll
  for (int r = 0; r < 10; ++r) {
    const unsigned high_0 = __umulhi(M0, c0), low_0 = M0 * c0, high_1 = __umulhi(M1, c2), low_1 = M1 * c2;
    c0 = high_1 ^ c1 ^ k0, c1 = low_1, c2 = high_0 ^ c3 ^ k1, c3 = low_0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

// The upper 24 bits of a word as a number in [0, 1): exact.
__device__ __forceinline__ float uniform_24(unsigned word) { return (float)(word >> 8) * 0x1p-24f; }

// A block's four normal numbers: words 0 and 1 give the first two, words 2 and 3 the others.
__device__ __forceinline__ Four normals(unsigned long long block, unsigned long long step, unsigned k0, unsigned k1) {
  const Words words = philox4x32(block, step, k0, k1);
  Four value;
#pragma unroll
  for (int k = 0; k < 4; k += 2) {
    const float radius = sqrtf(-2.f * logf(uniform_24(words.at[k]) + 0x1p-24f));  // of (0, 1]
    float sine, cosine;
    sincospif(2.f * uniform_24(words.at[k + 1]), &sine, &cosine);
    value.at[k] = radius * cosine;
    value.at[k + 1] = radius * sine;
  }
  return value;
}

// Where this thread's block begins in the array: less than 0 for the first thread where start is within a block.
__device__ __forceinline__ long long first_of_block(long long start) { return first_of_four() - start % 4; }

// The block that begins at i.
__device__ __forceinline__ unsigned long long block_of(long long i, long long start) {
  return (unsigned long long)(start + i) / 4;
}
