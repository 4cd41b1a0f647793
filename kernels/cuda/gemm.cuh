// Matrix products c (M, N) = a (M, K) b (K, N), one tile of c by a block of PRODUCT_THREADS threads.
//
//     __shared__ LargeTile::Shared shared;
//     Matrix<ALONG_K> a = {x, N, I};   // x (N, I): its rows run along k
//     Matrix<ACROSS_K> b = {w, I, O};  // w (I, O): its rows run across k
//     product<LargeTile>(Result{y, N, O}, a, b, first_row, first_column, 0, I, shared);
//
// All numbers of the operands pass through shared memory, DEPTH of k at a time and in two buffers: while one is being
// multiplied, the next numbers are on their way from memory to registers, and one barrier a buffer is enough. In shared
// memory both operands lie by k, so that a thread finds neighbours together whatever their order in memory was. All
// reads of shared memory, and most stores, meet as many banks as there are (the emulator counts them): a small tile's
// stores of rows across k, and a tensor tile's of rows along k, take two turns for one.
//
//     tile               from memory for a multiply-add  from shared memory  shared memory
//     SmallTile  16 x 32          3/8 byte                     2 bytes          28 KB
//     LargeTile 128 x 64          3/32                         1.5              25 KB
//     TensorTile  the same        3/32                         tensor cores     26 KB
//
// An H100 has 132 multiprocessors of 128 multiply-adds a clock, and a product wants as many blocks: 256 x 128 numbers
// have 4 large tiles and 64 small ones. The eight warps of a small tile share its sums, so that it is done sooner. What
// tensor cores multiply is rounded to TF32, 10 bits behind the point: TensorTile<1>. TensorTile<3> also multiplies what
// the rounding left out, and its errors are of the order of float32's. Small tiles have no such variant: they wait for
// memory more than for arithmetic.
//
// Positions outside a matrix are read as zeros and never written. A number of c is summed in an order that follows from
// the shapes. A .cu includes this file instead of common.cuh.
#include "common.cuh"

constexpr int PRODUCT_THREADS = 256;

// ---- operands and results: row-major matrices, taken by four neighbours of a row -----------------------------------
// Which way an operand's rows run: those of a (M, K) and of a transposed b (N, K) along k, those of a transposed a
// (K, M) and of b (K, N) across it.
enum Direction { ALONG_K, ACROSS_K };

template <Direction DIRECTION>
struct Matrix {
  static constexpr Direction direction = DIRECTION;
  using Fetched = Four;
  const float* data;
  int rows, columns;

  __device__ __forceinline__ Four fetch(int row, int column) const {
    return row < rows ? load_four(data + (long long)row * columns, column, columns) : Four{};
  }
  __device__ __forceinline__ Four value(const Four& fetched) const { return fetched; }
};

// dz = dy activation'(y), multiplied once both have arrived.
template <Direction DIRECTION>
struct Derivative {
  static constexpr Direction direction = DIRECTION;
  struct Fetched {
    Four dy, y;
  };
  Matrix<DIRECTION> dy, y;  // y is not read where the activation is linear
  int activation;

  __device__ __forceinline__ Fetched fetch(int row, int column) const {
    return {dy.fetch(row, column), activation == LINEAR ? Four{} : y.fetch(row, column)};
  }
  __device__ __forceinline__ Four value(const Fetched& fetched) const {
    Four dz;
#pragma unroll
    for (int i = 0; i < 4; ++i) dz.at[i] = through_activation(fetched.dy.at[i], fetched.y.at[i], activation);
    return dz;
  }
};

// What becomes of the product: it is written, or added to what is there.
struct Result {
  float* data;
  int rows, columns;
  bool add;

  __device__ __forceinline__ void operator()(int row, int column, Four c) const {
    if (row >= rows) return;
    float* to = data + (long long)row * columns;
    if (add) {
      const Four old = load_four(to, column, columns);
#pragma unroll
      for (int i = 0; i < 4; ++i) c.at[i] += old.at[i];
    }
    store_four(to, column, columns, c);
  }
};

// ---- from memory to shared memory -----------------------------------------------------------------------------------
// A thread's share of WIDTH rows of a, or columns of b, by DEPTH of k.
template <class Operand, int WIDTH, int DEPTH>
struct Share {
  static constexpr bool along = Operand::direction == ALONG_K;
  static constexpr int FOURS = WIDTH * DEPTH / 4 / PRODUCT_THREADS;
  typename Operand::Fetched fetched[FOURS];

  // Where a four belongs: k, and the row or column of the tile. Along k a warp takes 32 bytes of 16 rows: its scalar
  // stores to a tile whose rows are 4 (mod 8) numbers long then go to 32 different banks.
  static __device__ __forceinline__ int place(int i) {
    const int four = i * PRODUCT_THREADS + threadIdx.x;
    return along ? four / 2 % WIDTH : four % (WIDTH / 4) * 4;
  }
  static __device__ __forceinline__ int k(int i) {
    const int four = i * PRODUCT_THREADS + threadIdx.x;
    return along ? four / 2 / WIDTH * 8 + four % 2 * 4 : four / (WIDTH / 4);
  }

  __device__ __forceinline__ void fetch(const Operand& operand, int first, int first_k) {
#pragma unroll
    for (int i = 0; i < FOURS; ++i) {
      const int at = first + place(i), at_k = first_k + k(i);
      fetched[i] = along ? operand.fetch(at, at_k) : operand.fetch(at_k, at);
    }
  }

  template <int STRIDE>
  __device__ __forceinline__ void store(const Operand& operand, float (&tile)[DEPTH][STRIDE]) const {
#pragma unroll
    for (int i = 0; i < FOURS; ++i) {
      const Four four = operand.value(fetched[i]);
      if (along) {
#pragma unroll
        for (int j = 0; j < 4; ++j) tile[k(i) + j][place(i)] = four.at[j];
      } else {
        *reinterpret_cast<float4*>(&tile[k(i)][place(i)]) =
            make_float4(four.at[0], four.at[1], four.at[2], four.at[3]);
      }
    }
  }
};

__device__ __forceinline__ Four shared_four(const float& first) {
  const float4 v = *reinterpret_cast<const float4*>(&first);
  return {v.x, v.y, v.z, v.w};
}

// c[r] += a[r] b for four rows r.
__device__ __forceinline__ void add_products(Four* c, const Four& a, const Four& b) {
#pragma unroll
  for (int r = 0; r < 4; ++r) {
#pragma unroll
    for (int i = 0; i < 4; ++i) c[r].at[i] = fmaf(a.at[r], b.at[i], c[r].at[i]);
  }
}

// ---- tiles: how a block's threads divide the sums among themselves -------------------------------------------------
// add: adds the products of one buffer, `depth` of k, to a thread's sums c. finish: leaves four numbers of the product,
// those at (row(r), column(r)) of the tile, in each c[r] with r < RESULTS of the first HOLDERS threads.

// Each warp sums the whole tile, 4 x 4 numbers a thread, over every eighth k.
struct SmallTile {
  static constexpr int ROWS = 16, COLUMNS = 32, DEPTH = 64, PAD = 4, SUMS = 4, RESULTS = 1, HOLDERS = 128;
  static constexpr int WARPS = PRODUCT_THREADS / WARP;
  union alignas(16) Shared {
    struct {
      float a[2][DEPTH][ROWS + PAD], b[2][DEPTH][COLUMNS + PAD];
    };
    float sums[WARPS][ROWS][COLUMNS + PAD];
  };

  static __device__ __forceinline__ int row(int) { return threadIdx.x / 8; }
  static __device__ __forceinline__ int column(int) { return threadIdx.x % 8 * 4; }

  template <class TileA, class TileB>
  static __device__ __forceinline__ void add(Four (&c)[SUMS], const TileA& a, const TileB& b, int depth) {
    const int y = threadIdx.x % WARP / 8 * 4, x = threadIdx.x % 8 * 4;
#pragma unroll 4
    for (int k = threadIdx.x / WARP; k < depth; k += WARPS) {
      add_products(c, shared_four(a[k][y]), shared_four(b[k][x]));
    }
  }

  static __device__ __forceinline__ void finish(Four (&c)[SUMS], Shared& shared) {
    const int y = threadIdx.x % WARP / 8 * 4, x = threadIdx.x % 8 * 4;
    __syncthreads();  // the sums take the place of the buffers
#pragma unroll
    for (int r = 0; r < SUMS; ++r) {
      *reinterpret_cast<float4*>(&shared.sums[threadIdx.x / WARP][y + r][x]) =
          make_float4(c[r].at[0], c[r].at[1], c[r].at[2], c[r].at[3]);
    }
    __syncthreads();
    if (threadIdx.x >= HOLDERS) return;
    c[0] = shared_four(shared.sums[0][row(0)][column(0)]);
#pragma unroll
    for (int warp = 1; warp < WARPS; ++warp) {
      const Four sum = shared_four(shared.sums[warp][row(0)][column(0)]);
#pragma unroll
      for (int i = 0; i < 4; ++i) c[0].at[i] += sum.at[i];
    }
  }
};

// 8 x 4 numbers a thread: four rows in the upper half of the tile, four in the lower. A warp is 4 threads high, 8 wide.
struct LargeTile {
  static constexpr int ROWS = 128, COLUMNS = 64, DEPTH = 16, PAD = 4, SUMS = 8, RESULTS = 8, HOLDERS = PRODUCT_THREADS;
  struct alignas(16) Shared {
    float a[2][DEPTH][ROWS + PAD], b[2][DEPTH][COLUMNS + PAD];
  };

  static __device__ __forceinline__ int row(int r) {
    return r / 4 * (ROWS / 2) + threadIdx.x / 64 * 16 + threadIdx.x % WARP / 8 * 4 + r % 4;
  }
  static __device__ __forceinline__ int column(int) { return threadIdx.x / WARP % 2 * 32 + threadIdx.x % 8 * 4; }

  template <class TileA, class TileB>
  static __device__ __forceinline__ void add(Four (&c)[SUMS], const TileA& a, const TileB& b, int) {
#pragma unroll
    for (int k = 0; k < DEPTH; ++k) {
      const Four columns = shared_four(b[k][column(0)]);
      add_products(c, shared_four(a[k][row(0)]), columns);
      add_products(c + 4, shared_four(a[k][row(4)]), columns);
    }
  }

  static __device__ __forceinline__ void finish(Four (&)[SUMS], Shared&) {}
};

#if defined(CUDA_ON_CPU) || __CUDA_ARCH__ >= 800

// x rounded to TF32.
__device__ __forceinline__ float to_tf32(float x) {
#ifdef CUDA_ON_CPU
  return emulated_tf32(x);
#else
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
  return __uint_as_float(rounded);
#endif
}

// c (16, 8) += a (16, 8) b (8, 8) by a warp. With g = lane / 4 and t = lane % 4, a lane holds rows g, g + 8 of a at
// k = t, then at k = t + 4; column g of b at k = t, t + 4; columns 2t, 2t + 1 of c in row g, then in row g + 8.
__device__ __forceinline__ void multiply_tf32(Four& c, const float (&a)[4], const float (&b)[2]) {
#ifdef CUDA_ON_CPU
  emulated_mma_m16n8k8_tf32(c.at, a, b);
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c.at[0]), "+f"(c.at[1]), "+f"(c.at[2]), "+f"(c.at[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
        "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#endif
}

// 32 x 32 numbers a warp, in 2 x 4 products of 16 x 8. Which row of the tile takes which row of such a product is free,
// and so for columns: here they are chosen so that a lane reads two neighbours at once, and holds four of the result.
//
// TERMS is 1, or 3: a = a' + a" with a' rounded to TF32, and a b = a' b' + a' b" + a" b', all but a" b". Tensor cores
// cut off what they can't hold instead of rounding it, so the three are summed on their own for every 8 of k.
// What is infinite becomes NaN: it leaves out infinity less infinity.
template <int TERMS>
struct TensorTile {
  static constexpr int ROWS = 128, COLUMNS = 64, DEPTH = 16, PAD = 8, SUMS = 8, RESULTS = 8, HOLDERS = PRODUCT_THREADS;
  struct alignas(16) Shared {
    float a[2][DEPTH][ROWS + PAD], b[2][DEPTH][COLUMNS + PAD];
  };

  static __device__ __forceinline__ int warp_row() { return threadIdx.x / (2 * WARP) * 32; }
  static __device__ __forceinline__ int warp_column() { return threadIdx.x / WARP % 2 * 32; }
  static __device__ __forceinline__ int row(int r) {
    return warp_row() + r / 4 * 16 + threadIdx.x % WARP / 4 * 2 + r % 2;
  }
  static __device__ __forceinline__ int column(int r) { return warp_column() + r / 2 % 2 * 16 + threadIdx.x % 4 * 4; }

  // x rounded, and what that left out.
  static __device__ __forceinline__ void split(float x, float& high, float& low) {
    high = to_tf32(x);
    low = TERMS == 1 ? 0.f : to_tf32(x - high);
  }

  template <class TileA, class TileB>
  static __device__ __forceinline__ void add(Four (&c)[SUMS], const TileA& tile_a, const TileB& tile_b, int) {
    const int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll 1  // two steps at once want more registers than there are
    for (int k = 0; k < DEPTH; k += 8) {
      float a[2][4], a_low[2][4], b[4][2], b_low[4][2];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int half = i % 2, at_k = k + t + 4 * half, at = i / 2 * 16 + 2 * g;
        const float2 rows = *reinterpret_cast<const float2*>(&tile_a[at_k][warp_row() + at]);
        const float2 columns = *reinterpret_cast<const float2*>(&tile_b[at_k][warp_column() + at]);
        split(rows.x, a[i / 2][2 * half], a_low[i / 2][2 * half]);
        split(rows.y, a[i / 2][2 * half + 1], a_low[i / 2][2 * half + 1]);
        split(columns.x, b[i / 2 * 2][half], b_low[i / 2 * 2][half]);
        split(columns.y, b[i / 2 * 2 + 1][half], b_low[i / 2 * 2 + 1][half]);
      }
#pragma unroll
      for (int r = 0; r < SUMS; ++r) {
        if (TERMS == 1) {
          multiply_tf32(c[r], a[r / 4], b[r % 4]);
        } else {
          Four sum = {};
          multiply_tf32(sum, a_low[r / 4], b[r % 4]);
          multiply_tf32(sum, a[r / 4], b_low[r % 4]);
          multiply_tf32(sum, a[r / 4], b[r % 4]);
#pragma unroll
          for (int i = 0; i < 4; ++i) c[r].at[i] += sum.at[i];
        }
      }
    }
  }

  static __device__ __forceinline__ void finish(Four (&c)[SUMS], Shared&) {
#pragma unroll
    for (int r = 0; r < SUMS; r += 2) {  // two products of 16 x 8 side by side: their columns alternate in the tile
      const Four even = c[r], odd = c[r + 1];
      c[r] = {even.at[0], odd.at[0], even.at[1], odd.at[1]};
      c[r + 1] = {even.at[2], odd.at[2], even.at[3], odd.at[3]};
    }
  }
};

#else  // no tensor cores for TF32

template <int TERMS>
using TensorTile = LargeTile;

#endif

// ---- the product ----------------------------------------------------------------------------------------------------
struct Nothing {
  template <class Tile>
  __device__ __forceinline__ void see(const Tile&) {}
};

// The tile of a b whose first row and column are m and n, summed over k .. k_end: out(row, column, four) is called for
// all of its numbers, and watch.see(tile) for the part of b in each buffer. Rows across k must end at k_end.
template <class Tile, class Out, class A, class B, class Watch>
__device__ __forceinline__ void product(const Out& out, const A& a, const B& b, int m, int n, int k, int k_end,
                                        typename Tile::Shared& shared, Watch& watch) {
  Share<A, Tile::ROWS, Tile::DEPTH> share_a;
  Share<B, Tile::COLUMNS, Tile::DEPTH> share_b;
  Four c[Tile::SUMS] = {};
  share_a.fetch(a, m, k);
  share_b.fetch(b, n, k);
  for (int buffer = 0; k < k_end; k += Tile::DEPTH, buffer ^= 1) {
    share_a.store(a, shared.a[buffer]);
    share_b.store(b, shared.b[buffer]);
    __syncthreads();  // the buffer is full, and nobody reads the other one any more
    share_a.fetch(a, m, k + Tile::DEPTH);
    share_b.fetch(b, n, k + Tile::DEPTH);
    watch.see(shared.b[buffer]);
    Tile::add(c, shared.a[buffer], shared.b[buffer], min(Tile::DEPTH, k_end - k));
  }
  Tile::finish(c, shared);
  if (threadIdx.x >= Tile::HOLDERS) return;
#pragma unroll
  for (int r = 0; r < Tile::RESULTS; ++r) out(m + Tile::row(r), n + Tile::column(r), c[r]);
}

template <class Tile, class Out, class A, class B>
__device__ __forceinline__ void product(const Out& out, const A& a, const B& b, int m, int n, int k, int k_end,
                                        typename Tile::Shared& shared) {
  Nothing watch;
  product<Tile>(out, a, b, m, n, k, k_end, shared, watch);
}
