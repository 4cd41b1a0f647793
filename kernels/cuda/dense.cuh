// The gradients of a dense layer's parameters, of a layer alone (dense.cu) and of several (dense_chain.cu):
// dw (I, O) = x^T dz, db (O) = the sum of dz's rows, with dz = dy activation'(y).
//
// dw is small and its sums are long, so several blocks may share the rows of one tile: each takes `split` of them, and
// the parts of dw, and those of db, lie one after another until add_splits sums them in order. Where there is one part,
// it is written, or added, to dw itself. The blocks of the first rows of dw have all of dz pass by in shared memory and
// sum it to db.
#include "gemm.cuh"

// The sums of a tile's columns of dz, while dz passes as b of a product.
template <class Tile>
struct ColumnSums {
  bool wanted;
  float sum;  // of this thread's column, every PRODUCT_THREADS / COLUMNS th row

  template <class Buffer>
  __device__ __forceinline__ void see(const Buffer& dz) {
    if (!wanted) return;
#pragma unroll 4
    for (int k = threadIdx.x / Tile::COLUMNS; k < Tile::DEPTH; k += PRODUCT_THREADS / Tile::COLUMNS) {
      sum += dz[k][threadIdx.x % Tile::COLUMNS];
    }
  }

  __device__ __forceinline__ void write(float* db, int o, int O, bool add) const {
    __shared__ float sums[PRODUCT_THREADS];
    if (!wanted) return;  // the whole block
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x < Tile::COLUMNS && o + threadIdx.x < O) {
      float total = 0.f;
      for (int i = threadIdx.x; i < PRODUCT_THREADS; i += Tile::COLUMNS) total += sums[i];
      db[o + threadIdx.x] = add ? db[o + threadIdx.x] + total : total;
    }
  }
};

// How many tiles there are of dw, or, if only db is wanted, of the first rows that it would have.
template <class Tile>
__device__ __forceinline__ int parameter_tiles(const float* dw, const float* db, int I, int O) {
  const int down = dw ? (I + Tile::ROWS - 1) / Tile::ROWS : db ? 1 : 0;
  return down * ((O + Tile::COLUMNS - 1) / Tile::COLUMNS);
}

// Part number `part` of one of those tiles.
template <class Tile>
__device__ __forceinline__ void parameter_gradients(float* dw, float* db, const float* dy, const float* y,
                                                    const float* x, int N, int I, int O, int activation,
                                                    int accumulate, int tile, int part, int split,
                                                    typename Tile::Shared& shared) {
  const int across = (O + Tile::COLUMNS - 1) / Tile::COLUMNS;
  const int i = tile / across * Tile::ROWS, o = tile % across * Tile::COLUMNS;
  const int n = part * split, end = min(n + split, N), rows = dw ? I : 0;  // of dw
  ColumnSums<Tile> sums = {db && i == 0, 0.f};
  product<Tile>(Result{dw + (long long)part * I * O, rows, O, accumulate != 0}, Matrix<ACROSS_K>{x, dw ? end : 0, I},
                Derivative<ACROSS_K>{{dy, end, O}, {y, end, O}, activation}, i, o, n, end, shared, sums);
  sums.write(db + (long long)part * O, o, O, accumulate != 0);
}

// d[i] = the sum of `splits` parts of n numbers each, or d[i] plus it.
__device__ __forceinline__ void add_splits(float* d, const float* parts, long long i, long long n, int splits,
                                           int accumulate) {
  float sum = 0.f;
#pragma unroll 8
  for (int s = 0; s < splits; ++s) sum += parts[s * n + i];
  d[i] = accumulate ? d[i] + sum : sum;
}
