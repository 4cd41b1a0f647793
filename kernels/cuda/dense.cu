// y = activation(x w + b), and its gradients: matrix products, see gemm.cuh, and dense.cuh for dw and db.
//
// Each is there for small tiles, for large ones, and for large ones on tensor cores; dense.py chooses.
//
//   forward   one launch: bias and activation are applied to a tile before it is written.
//   backward  one launch for dx = dz w^T and dw = x^T dz, whose blocks run side by side. dz = dy activation'(y) is
//             computed on the way to shared memory, so it is never written. Where several blocks share the rows of a
//             tile of dw (`splits`, from the shapes alone), dense_add_splits, a second launch, sums their parts.
//
// Floor: 2 N I O FLOPs and 4 (N I + I O + N O) bytes forward, twice both backward. A layer of 784 x 128 at a batch of
// 8192 has 1.6 GFLOP for 30 MB, 54 a byte, and an H100 computes 20 in the time of a byte: arithmetic counts. At a batch
// of 256 launches do.
#include "dense.cuh"

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

// Blocks 0 .. parameter_blocks compute dw and db, each for `split` rows of x and dz; those behind them dx.
template <class Tile>
__device__ __forceinline__ void backward(float* dx, float* dw, float* db, const float* dy, const float* y,
                                         const float* x, const float* w, int N, int I, int O, int activation,
                                         int accumulate, int parameter_blocks, int split) {
  __shared__ typename Tile::Shared shared;
  if (blockIdx.x < parameter_blocks) {
    const int tiles = parameter_tiles<Tile>(dw, db, I, O);
    parameter_gradients<Tile>(dw, db, dy, y, x, N, I, O, activation, accumulate, blockIdx.x % tiles,
                              blockIdx.x / tiles, split, shared);
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
