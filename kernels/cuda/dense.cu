// y = activation(x w + b), and its gradients: matrix products, see gemm.cuh.
//
// Each is there for small tiles, for large ones, and for large ones on tensor cores; dense.py chooses.
//
//   forward   one launch: bias and activation are applied to a tile before it is written.
//   backward  one launch for dx = dz w^T and dw = x^T dz, whose blocks run side by side. dz = dy activation'(y) is
//             computed on the way to shared memory, so it is never written. The blocks that hold the first rows of dw
//             have all of dz pass by in shared memory, and sum it to db.
//
// dw is small and its sums are long, so several blocks share the rows of one tile (`splits`, from the shapes alone) and
// dense_add_splits, a second launch, sums their parts in order; one split writes, or adds to, dw itself.
//
// Floor: 2 N I O FLOPs and 4 (N I + I O + N O) bytes forward, twice both backward. A layer of 784 x 128 at a batch of
// 8192 has 1.6 GFLOP for 30 MB, 54 a byte, and an H100 computes 20 in the time of a byte: arithmetic counts. At a batch
// of 256 launches do.
#include "gemm.cuh"

// activation(c + b) in y.
struct Output {
  float* y;
  const float* b;
  int N, O, activation;

  __device__ __forceinline__ void operator()(int n, int o, Four c) const {
    if (n >= N) return;
    const Four bias = b ? load_four(b, o, O) : Four{};
#pragma unroll
    for (int i = 0; i < 4; ++i) c.at[i] = activate(c.at[i] + bias.at[i], activation);
    store_four(y + (long long)n * O, o, O, c);
  }
};

template <class Tile>
__device__ __forceinline__ void forward(float* y, const float* x, const float* w, const float* b, int N, int I, int O,
                                        int activation) {
  __shared__ typename Tile::Shared shared;
  const int across = (O + Tile::COLUMNS - 1) / Tile::COLUMNS;  // blocks side by side share rows of x
  const int n = blockIdx.x / across * Tile::ROWS, o = blockIdx.x % across * Tile::COLUMNS;
  product<Tile>(Output{y, b, N, O, activation}, Matrix<ALONG_K>{x, N, I}, Matrix<ACROSS_K>{w, I, O}, n, o, 0, I,
                shared);
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_forward_small(float* __restrict__ y /*(N, O)*/, const float* __restrict__ x /*(N, I)*/,
                    const float* __restrict__ w /*(I, O)*/, const float* __restrict__ b /*(O)*/, int N, int I, int O,
                    int activation) {
  forward<SmallTile>(y, x, w, b, N, I, O, activation);
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_forward_large(float* __restrict__ y /*(N, O)*/, const float* __restrict__ x /*(N, I)*/,
                    const float* __restrict__ w /*(I, O)*/, const float* __restrict__ b /*(O)*/, int N, int I, int O,
                    int activation) {
  forward<LargeTile>(y, x, w, b, N, I, O, activation);
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_forward_tf32x3(float* __restrict__ y /*(N, O)*/, const float* __restrict__ x /*(N, I)*/,
                     const float* __restrict__ w /*(I, O)*/, const float* __restrict__ b /*(O)*/, int N, int I, int O,
                     int activation) {
  forward<TensorTile<3>>(y, x, w, b, N, I, O, activation);
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_forward_tf32(float* __restrict__ y /*(N, O)*/, const float* __restrict__ x /*(N, I)*/,
                   const float* __restrict__ w /*(I, O)*/, const float* __restrict__ b /*(O)*/, int N, int I, int O,
                   int activation) {
  forward<TensorTile<1>>(y, x, w, b, N, I, O, activation);
}

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

// Blocks 0 .. parameter_blocks compute dw and db, each for `split` rows of x and dz; those behind them dx.
template <class Tile>
__device__ __forceinline__ void backward(float* dx, float* dw, float* db, const float* dy, const float* y,
                                         const float* x, const float* w, int N, int I, int O, int activation,
                                         int accumulate, int parameter_blocks, int split) {
  __shared__ typename Tile::Shared shared;
  if (blockIdx.x < parameter_blocks) {
    const int down = dw ? (I + Tile::ROWS - 1) / Tile::ROWS : 1, across = (O + Tile::COLUMNS - 1) / Tile::COLUMNS;
    const int tile = blockIdx.x % (down * across), part = blockIdx.x / (down * across);
    const int i = tile / across * Tile::ROWS, o = tile % across * Tile::COLUMNS;
    const int n = part * split, end = min(n + split, N), rows = dw ? I : 0;  // of dw
    ColumnSums<Tile> sums = {db && i == 0, 0.f};
    product<Tile>(Result{dw + (long long)part * I * O, rows, O, accumulate != 0},
                  Matrix<ACROSS_K>{x, dw ? end : 0, I},
                  Derivative<ACROSS_K>{{dy, end, O}, {y, end, O}, activation}, i, o, n, end, shared, sums);
    sums.write(db + (long long)part * O, o, O, accumulate != 0);
  } else {
    const int block = blockIdx.x - parameter_blocks, across = (I + Tile::COLUMNS - 1) / Tile::COLUMNS;
    const int n = block / across * Tile::ROWS, i = block % across * Tile::COLUMNS;
    product<Tile>(Result{dx, N, I, false}, Derivative<ALONG_K>{{dy, N, O}, {y, N, O}, activation},
                  Matrix<ALONG_K>{w, I, O}, n, i, 0, O, shared);
  }
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_backward_small(float* __restrict__ dx /*(N, I)*/, float* __restrict__ dw /*(>= I, O)*/,
                     float* __restrict__ db /*(>= O)*/, const float* __restrict__ dy /*(N, O)*/,
                     const float* __restrict__ y /*(N, O)*/, const float* __restrict__ x /*(N, I)*/,
                     const float* __restrict__ w /*(I, O)*/, int N, int I, int O, int activation, int accumulate,
                     int parameter_blocks, int split) {
  backward<SmallTile>(dx, dw, db, dy, y, x, w, N, I, O, activation, accumulate, parameter_blocks, split);
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_backward_large(float* __restrict__ dx /*(N, I)*/, float* __restrict__ dw /*(>= I, O)*/,
                     float* __restrict__ db /*(>= O)*/, const float* __restrict__ dy /*(N, O)*/,
                     const float* __restrict__ y /*(N, O)*/, const float* __restrict__ x /*(N, I)*/,
                     const float* __restrict__ w /*(I, O)*/, int N, int I, int O, int activation, int accumulate,
                     int parameter_blocks, int split) {
  backward<LargeTile>(dx, dw, db, dy, y, x, w, N, I, O, activation, accumulate, parameter_blocks, split);
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_backward_tf32x3(float* __restrict__ dx /*(N, I)*/, float* __restrict__ dw /*(>= I, O)*/,
                      float* __restrict__ db /*(>= O)*/, const float* __restrict__ dy /*(N, O)*/,
                      const float* __restrict__ y /*(N, O)*/, const float* __restrict__ x /*(N, I)*/,
                      const float* __restrict__ w /*(I, O)*/, int N, int I, int O, int activation, int accumulate,
                      int parameter_blocks, int split) {
  backward<TensorTile<3>>(dx, dw, db, dy, y, x, w, N, I, O, activation, accumulate, parameter_blocks, split);
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_backward_tf32(float* __restrict__ dx /*(N, I)*/, float* __restrict__ dw /*(>= I, O)*/,
                    float* __restrict__ db /*(>= O)*/, const float* __restrict__ dy /*(N, O)*/,
                    const float* __restrict__ y /*(N, O)*/, const float* __restrict__ x /*(N, I)*/,
                    const float* __restrict__ w /*(I, O)*/, int N, int I, int O, int activation, int accumulate,
                    int parameter_blocks, int split) {
  backward<TensorTile<1>>(dx, dw, db, dy, y, x, w, N, I, O, activation, accumulate, parameter_blocks, split);
}

// d[i] = the sum of `splits` parts of n numbers each, or d[i] plus it.
__device__ __forceinline__ void add_splits(float* d, const float* parts, long long i, long long n, int splits,
                                           int accumulate) {
  float sum = 0.f;
#pragma unroll 8
  for (int s = 0; s < splits; ++s) sum += parts[s * n + i];
  d[i] = accumulate ? d[i] + sum : sum;
}

// dw (weights,) and db (O,); one that is not wanted has no elements here.
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS)
dense_add_splits(float* __restrict__ dw /*(weights)*/, float* __restrict__ db /*(O)*/,
                 const float* __restrict__ dw_parts /*(splits, weights)*/,
                 const float* __restrict__ db_parts /*(splits, O)*/, long long weights, int O, int splits,
                 int accumulate) {
  const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i < weights) {
    add_splits(dw, dw_parts, i, weights, splits, accumulate);
  } else if (i < weights + O) {
    add_splits(db, db_parts, i - weights, O, splits, accumulate);
  }
}
