// Narrow dense layers one after another, up to LAYERS of them: the middle of a deep autoencoder.
//
// At a batch of 256 a layer of 64 x 32 is computed sooner than the next launch begins. So a block takes ROWS samples
// through all layers. Their features stay in shared memory for the next layer; they are written as well, for backward,
// but nobody waits for that. Weights go from memory to the registers of the only thread that multiplies them.
//
//   forward              one launch.
//   input_gradients      one launch, for the gradients of all tensors between layers and of the first layer's input.
//   parameter_gradients  one launch. Their sums run over all samples, so they wait for the former to end. A block
//                        computes a tile of the dw of one layer or another; sums in parts are added by a second
//                        launch, as in dense.cu.
//
// A layer's sums over k are divided among the threads, so that all its weights are asked for at once: a thread has four
// columns, all rows, and every `parts`th four of k; for 64 x 128 there are 8 parts. Its 32 sums, and those of all parts
// in shared memory, leave no room for more rows.
//
// So each 8 samples ask for all weights, 80 KB for 128-64-32-64-128 features, where a large tile's rows are 128. With
// many samples that is more than launches cost, and a layer alone has blocks for all multiprocessors: beyond two blocks
// for each of them dense_chain.py goes layer by layer. Up to there a layer this narrow would have small tiles, which
// multiply in float32 whatever precision is chosen.
//
// Floor: for these features 41 kFLOP and 1.6 KB a sample forward, and the weights once.
#include "dense.cuh"

constexpr int LAYERS = 5, WIDTH = 128, ROWS = 8;  // layers, the most features, samples of a block

struct Workspace {
  alignas(16) float tile[ROWS][WIDTH + 4];  // what the next layer multiplies; zeros up to a whole four
  // Of each part, a row for each sample. Parts begin 4 (mod 32) numbers apart: eight threads that store fours to eight
  // parts meet all banks.
  alignas(16) float sums[PRODUCT_THREADS * ROWS * 4 + WIDTH];
};

// One of five, by number: an array would be kept in memory.
template <class T>
__device__ __forceinline__ T pick(int i, T a, T b, T c, T d, T e) {
  return i == 0 ? a : i == 1 ? b : i == 2 ? c : i == 3 ? d : e;
}

// Samples first .. first + ROWS of a tensor with so many features.
template <class Operand>
__device__ __forceinline__ void fill(Workspace& shared, const Operand& operand, int first, int features) {
  const int fours = (features + 3) / 4;
  for (int i = threadIdx.x; i < ROWS * fours; i += PRODUCT_THREADS) {
    const int row = i / fours, column = i % fours * 4;
    const Four v = operand.value(operand.fetch(first + row, column));
    *reinterpret_cast<float4*>(&shared.tile[row][column]) = make_float4(v.at[0], v.at[1], v.at[2], v.at[3]);
  }
  __syncthreads();
}

// The tile (ROWS, K) times weights (K, M); out(row, m, sum) takes the numbers of the product, and gives those of the
// next tile.
template <class Weights, class Out>
__device__ __forceinline__ void multiply(Workspace& shared, const Weights& weights, int K, int M, const Out& out) {
  constexpr bool along = Weights::direction == ALONG_K;
  int fours = 1;  // of columns: a power of two
  while (4 * fours < M) fours *= 2;
  const int parts = PRODUCT_THREADS / fours, used = min(parts, (K + 3) / 4);
  const int width = 4 * fours, stride = ROWS * width + 4;
  // Eight neighbours of a warp read 128 bytes of a row of the weights, whichever way it runs.
  const int column = (along ? threadIdx.x / 8 % fours : threadIdx.x % fours) * 4;
  const int part = along ? threadIdx.x / 8 / fours * 8 + threadIdx.x % 8 : threadIdx.x / fours;

  if (part < used) {
    Four c[ROWS] = {};
#pragma unroll 2
    for (int k = 4 * part; k < K; k += 4 * parts) {
      Four w[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) w[i] = along ? weights.fetch(column + i, k) : weights.fetch(k + i, column);
#pragma unroll
      for (int row = 0; row < ROWS; ++row) {
        const Four x = shared_four(shared.tile[row][k]);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            c[row].at[i] = fmaf(x.at[j], along ? w[i].at[j] : w[j].at[i], c[row].at[i]);
          }
        }
      }
    }
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
      *reinterpret_cast<float4*>(&shared.sums[part * stride + row * width + column]) =
          make_float4(c[row].at[0], c[row].at[1], c[row].at[2], c[row].at[3]);
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < ROWS * width; i += PRODUCT_THREADS) {
    float sum = 0.f;
#pragma unroll 8
    for (int p = 0; p < used; ++p) sum += shared.sums[p * stride + i];
    shared.tile[i / width][i % width] = i % width < M ? out(i / width, i % width, sum) : 0.f;
  }
  __syncthreads();
}

// y = activation(sum + b), which is also what the next layer reads.
struct LayerOutput {
  float* y;
  const float* b;
  int first, N, O, activation;

  __device__ __forceinline__ float operator()(int row, int o, float sum) const {
    if (first + row >= N) return 0.f;
    const float result = activate(b ? sum + b[o] : sum, activation);
    y[(long long)(first + row) * O + o] = result;
    return result;
  }
};

// dy = sum of the layer below, which reads dz = dy activation'(y).
struct LayerGradient {
  float* dy;
  const float* y;
  int first, N, O, activation;

  __device__ __forceinline__ float operator()(int row, int o, float sum) const {
    if (first + row >= N) return 0.f;
    const long long i = (long long)(first + row) * O + o;
    dy[i] = sum;
    return activation == LINEAR ? sum : through_activation(sum, y[i], activation);
  }
};

// Layer l is y_l = a_l(y_(l-1) w_l + b_l), the first reads x. Those behind the last one are null.
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_chain_forward(float* __restrict__ y0 /*(N, O0)*/, float* __restrict__ y1 /*(N, O1)*/,
                    float* __restrict__ y2 /*(N, O2)*/, float* __restrict__ y3 /*(N, O3)*/,
                    float* __restrict__ y4 /*(N, O4)*/, const float* __restrict__ x /*(N, I)*/,
                    const float* __restrict__ w0 /*(I, O0)*/, const float* __restrict__ w1 /*(O0, O1)*/,
                    const float* __restrict__ w2 /*(O1, O2)*/, const float* __restrict__ w3 /*(O2, O3)*/,
                    const float* __restrict__ w4 /*(O3, O4)*/, const float* __restrict__ b0 /*(O0)*/,
                    const float* __restrict__ b1 /*(O1)*/, const float* __restrict__ b2 /*(O2)*/,
                    const float* __restrict__ b3 /*(O3)*/, const float* __restrict__ b4 /*(O4)*/, int N, int I,
                    int O0, int O1, int O2, int O3, int O4, int a0, int a1, int a2, int a3, int a4) {
  __shared__ Workspace shared;
  const int first = blockIdx.x * ROWS;
  fill(shared, Matrix<ALONG_K>{x, N, I}, first, I);
  int K = I;
#pragma unroll 1
  for (int l = 0; l < LAYERS; ++l) {
    const float *w = pick(l, w0, w1, w2, w3, w4), *b = pick(l, b0, b1, b2, b3, b4);
    if (!w) break;
    float* y = pick(l, y0, y1, y2, y3, y4);
    const int O = pick(l, O0, O1, O2, O3, O4), activation = pick(l, a0, a1, a2, a3, a4);
    multiply(shared, Matrix<ACROSS_K>{w, K, O}, K, O, LayerOutput{y, b, first, N, O, activation});
    K = O;
  }
}

// Reads the last dy, writes the others and, unless it is null, dx.
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_chain_input_gradients(float* __restrict__ dx /*(N, I)*/, float* __restrict__ dy0 /*(N, O0)*/,
                            float* __restrict__ dy1 /*(N, O1)*/, float* __restrict__ dy2 /*(N, O2)*/,
                            float* __restrict__ dy3 /*(N, O3)*/, float* __restrict__ dy4 /*(N, O4)*/,
                            const float* __restrict__ y0 /*(N, O0)*/, const float* __restrict__ y1 /*(N, O1)*/,
                            const float* __restrict__ y2 /*(N, O2)*/, const float* __restrict__ y3 /*(N, O3)*/,
                            const float* __restrict__ y4 /*(N, O4)*/, const float* __restrict__ w0 /*(I, O0)*/,
                            const float* __restrict__ w1 /*(O0, O1)*/, const float* __restrict__ w2 /*(O1, O2)*/,
                            const float* __restrict__ w3 /*(O2, O3)*/, const float* __restrict__ w4 /*(O3, O4)*/,
                            int N, int I, int O0, int O1, int O2, int O3, int O4, int a0, int a1, int a2, int a3,
                            int a4) {
  __shared__ Workspace shared;
  const int first = blockIdx.x * ROWS, last = w4 ? 4 : w3 ? 3 : w2 ? 2 : w1 ? 1 : 0;
  int K = pick(last, O0, O1, O2, O3, O4);
  const float *given = pick(last, dy0, dy1, dy2, dy3, dy4), *y = pick(last, y0, y1, y2, y3, y4);
  fill(shared, Derivative<ALONG_K>{{given, N, K}, {y, N, K}, pick(last, a0, a1, a2, a3, a4)}, first, K);
#pragma unroll 1
  for (int l = last; l >= 0; --l) {  // from the layer's dz to dy of the one below
    float* dy = pick(l, dx, dy0, dy1, dy2, dy3);
    if (!dy) break;
    const float *w = pick(l, w0, w1, w2, w3, w4), *y = pick<const float*>(l, nullptr, y0, y1, y2, y3);
    const int O = pick(l, I, O0, O1, O2, O3), activation = pick<int>(l, LINEAR, a0, a1, a2, a3);
    multiply(shared, Matrix<ALONG_K>{w, O, K}, K, O, LayerGradient{dy, y, first, N, O, activation});
    K = O;
  }
}

// Of at most `tiles` tiles, each in several parts of `split` rows. A layer of which nothing is wanted has none.
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 2)
dense_chain_parameter_gradients(
    float* __restrict__ dw0 /*(>= I, O0)*/, float* __restrict__ dw1 /*(>= O0, O1)*/,
    float* __restrict__ dw2 /*(>= O1, O2)*/, float* __restrict__ dw3 /*(>= O2, O3)*/,
    float* __restrict__ dw4 /*(>= O3, O4)*/, float* __restrict__ db0 /*(>= O0)*/, float* __restrict__ db1 /*(>= O1)*/,
    float* __restrict__ db2 /*(>= O2)*/, float* __restrict__ db3 /*(>= O3)*/, float* __restrict__ db4 /*(>= O4)*/,
    const float* __restrict__ dy0 /*(N, O0)*/, const float* __restrict__ dy1 /*(N, O1)*/,
    const float* __restrict__ dy2 /*(N, O2)*/, const float* __restrict__ dy3 /*(N, O3)*/,
    const float* __restrict__ dy4 /*(N, O4)*/, const float* __restrict__ y0 /*(N, O0)*/,
    const float* __restrict__ y1 /*(N, O1)*/, const float* __restrict__ y2 /*(N, O2)*/,
    const float* __restrict__ y3 /*(N, O3)*/, const float* __restrict__ y4 /*(N, O4)*/,
    const float* __restrict__ x /*(N, I)*/, int N, int I, int O0, int O1, int O2, int O3, int O4, int a0, int a1,
    int a2, int a3, int a4, int accumulate, int tiles, int split) {
  __shared__ SmallTile::Shared shared;
  int tile = blockIdx.x % tiles;
#pragma unroll 1
  for (int l = 0; l < LAYERS; ++l) {
    const int K = pick(l, I, O0, O1, O2, O3), O = pick(l, O0, O1, O2, O3, O4);
    float *dw = pick(l, dw0, dw1, dw2, dw3, dw4), *db = pick(l, db0, db1, db2, db3, db4);
    const int count = parameter_tiles<SmallTile>(dw, db, K, O);
    if (tile < count) {
      return parameter_gradients<SmallTile>(dw, db, pick(l, dy0, dy1, dy2, dy3, dy4), pick(l, y0, y1, y2, y3, y4),
                                            pick(l, x, y0, y1, y2, y3), N, K, O, pick(l, a0, a1, a2, a3, a4),
                                            accumulate, tile, blockIdx.x / tiles, split, shared);
    }
    tile -= count;
  }
}

// `parts` has those of dw0, then of db0, of dw1, and so on, of each `splits` one after another; what is not wanted has
// none. A thread adds up one of `total` numbers.
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS)
dense_chain_add_splits(float* __restrict__ dw0 /*(I, O0)*/, float* __restrict__ dw1 /*(O0, O1)*/,
                       float* __restrict__ dw2 /*(O1, O2)*/, float* __restrict__ dw3 /*(O2, O3)*/,
                       float* __restrict__ dw4 /*(O3, O4)*/, float* __restrict__ db0 /*(O0)*/,
                       float* __restrict__ db1 /*(O1)*/, float* __restrict__ db2 /*(O2)*/,
                       float* __restrict__ db3 /*(O3)*/, float* __restrict__ db4 /*(O4)*/,
                       const float* __restrict__ parts /*(splits, total)*/, int I, int O0, int O1, int O2, int O3,
                       int O4, int splits, int total, int accumulate) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= total) return;
#pragma unroll 1
  for (int l = 0; l < LAYERS; ++l) {
    const int K = pick(l, I, O0, O1, O2, O3), O = pick(l, O0, O1, O2, O3, O4);
    float *dw = pick(l, dw0, dw1, dw2, dw3, dw4), *db = pick(l, db0, db1, db2, db3, db4);
    const int weights = dw ? K * O : 0, biases = db ? O : 0;
    if (i < weights) return add_splits(dw, parts, i, weights, splits, accumulate);
    i -= weights, parts += (long long)splits * weights;
    if (i < biases) return add_splits(db, parts, i, biases, splits, accumulate);
    i -= biases, parts += (long long)splits * biases;
  }
}
