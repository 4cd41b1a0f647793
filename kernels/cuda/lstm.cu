// Long short-term memory: the walk through time in one launch, the products that need no walk in launches around it.
//
//   forward   z = x wx + b for all steps at once; then the walk adds h_(t-1) wh and makes gates, c and h of it.
//   backward  the walk back leaves dz, the gradient of z, at every step; then dx = dz wx^T, and dwx, dwh and db are
//             sums over all samples and steps.
//
// A block takes four samples through all steps. Blocks need nothing from each other, and a step costs one barrier.
// Up to 64 units the weights wh stay in registers, U of them a thread, and h or dz of one step goes to the next through
// shared memory. A multiprocessor reads 32 floats from there in the time of 128 multiply-adds, so a thread has the
// weights of four sums, and what it reads serves four multiply-adds; its neighbours have other terms of the same sums.
// With 64 units a thread and step have 256 multiply-adds, 64 floats to read, and 12 shuffles forward, 15 backward. With
// one whole sum a thread there would be no shuffles, but 256 floats to read.
// More units don't fit into registers (256 KB for 128, all that a multiprocessor has): wh is read again at every step,
// through the caches, and what is read serves four or eight samples.
//
// Floor, forward: 8 U (I + U) FLOPs and 4 (I + 14 U) bytes for a sample and step (z and the gates are written once and
// z is read once); backward twice the FLOPs. At I = 28 and U = 64 that is 47 kFLOP and 3.7 KB, which weigh about the
// same. A batch of 256 is 64 blocks, and bound by the steps that follow one another.
#include "gemm.cuh"

// n rounded up to a multiple of step.
__device__ __forceinline__ int up(int n, int step) { return (n + step - 1) / step * step; }

// ---- the walk through time -----------------------------------------------------------------------------------------
constexpr int PAD = 8;  // numbers behind a row in shared memory: the rows of four samples begin 8 banks apart

// Where a thread has its sum for sample s and four weights i, of 4 R samples: what `halve` exchanges lies together.
template <int R>
__device__ constexpr int place(int s, int i) {
  return (s / R * 4 + i) * R + s % R;
}

// Adds four terms to each of the four sums for sample s.
template <int R>
__device__ __forceinline__ void add_terms(float (&sum)[16 * R], int s, const Four (&w)[4], const Four& v) {
#pragma unroll
  for (int k = 0; k < 4; k++) {
#pragma unroll
    for (int i = 0; i < 4; i++) sum[place<R>(s, i)] += w[i].at[k] * v.at[k];
  }
}

// Two threads at this distance add up their first COUNT sums: one of them gets the first half, the other the second.
template <int COUNT, int SUMS>
__device__ __forceinline__ void halve(float (&sum)[SUMS], int distance) {
  const bool second = threadIdx.x & distance;
#pragma unroll
  for (int i = 0; i < COUNT / 2; i++) {
    const float keep = second ? sum[i + COUNT / 2] : sum[i], give = second ? sum[i] : sum[i + COUNT / 2];
    sum[i] = keep + __shfl_xor_sync(ALL, give, distance);
  }
}

// wh[k .. k+3][column] of wh (U, 4U), zero behind its last row.
__device__ __forceinline__ Four load_column(const float* wh, int k, int column, int U) {
  Four w;
#pragma unroll
  for (int i = 0; i < 4; i++) w.at[i] = k + i < U ? wh[(k + i) * 4 * U + column] : 0.f;
  return w;
}

// h, c and gates at all steps. zx (N, 4U) is x wx + b where it is the same at every step; without it the gates hold it,
// and are overwritten.
//
// Four neighbours share a unit: each multiplies a quarter of h_(t-1) with the weights of its four gates, for 4 R
// samples; then they exchange their sums, and each of them makes gates, c and h of R samples.
template <int UNITS, int R>
__device__ void walk(float* h, float* c, float* gates, const float* zx, const float* wh, int N, int T, int U) {
  constexpr int S = 4 * R, ROW = UNITS + PAD;
  __shared__ __align__(16) float before[2][S][ROW];  // h_(t-1), zero behind a row's U numbers, and h_t
  const int J = 4 * U, quarter = threadIdx.x % 4;
  const long long first = (long long)blockIdx.x * S;  // sample of this block: places are counted from there
  h += first * T * U, c += first * T * U, gates += first * T * J, zx += zx ? first * J : 0;
  const int samples = min(N - first, (long long)S);
  Four kept[UNITS / 16 + 1][4];  // weights: of fours 4 apart, for the four gates
  if (UNITS) {
    for (int i = threadIdx.x; i < 2 * S * ROW; i += blockDim.x) (&before[0][0][0])[i] = 0.f;
    const int unit = min((int)threadIdx.x / 4, U - 1);
#pragma unroll
    for (int i = 0; i < UNITS / 4; i++) {
      kept[i / 4][i % 4] = load_column(wh, i / 4 * 16 + 4 * quarter, i % 4 * U + unit, U);
    }
    __syncthreads();
  }
  for (int t = 0; t < T; t++) {
    for (int u = threadIdx.x / 4; u < up(U, 8); u += blockDim.x / 4) {  // whole warps, which exchange sums
      float input[4][R], c_before[R], sum[16 * R] = {};
#pragma unroll
      for (int r = 0; r < R; r++) {  // asked for here, to be there when the sums are
        const int s = quarter * R + r, step = s * T + t;
        if (s >= samples || u >= U) continue;
        c_before[r] = t > 0 ? c[(step - 1) * U + u] : 0.f;
#pragma unroll
        for (int gate = 0; gate < 4; gate++) {
          input[gate][r] = zx ? zx[s * J + gate * U + u] : gates[step * J + gate * U + u];
        }
      }
      if (UNITS) {
#pragma unroll
        for (int k = 0; k < UNITS / 16; k++) {
#pragma unroll
          for (int s = 0; s < S; s++) {
            add_terms<R>(sum, s, kept[k], shared_four(before[t % 2][s][16 * k + 4 * quarter]));
          }
        }
      } else if (t > 0) {
        const int unit = min(u, U - 1);
        for (int k = 4 * quarter; k < U; k += 16) {
          Four w[4];
#pragma unroll
          for (int gate = 0; gate < 4; gate++) w[gate] = load_column(wh, k, gate * U + unit, U);
#pragma unroll
          for (int s = 0; s < S; s++) {
            add_terms<R>(sum, s, w, load_four(h + (min(s, samples - 1) * T + t - 1) * U, k, U));
          }
        }
      }
      halve<16 * R>(sum, 2);
      halve<8 * R>(sum, 1);
#pragma unroll
      for (int r = 0; r < R; r++) {
        const int s = quarter * R + r, step = s * T + t;
        if (s >= samples || u >= U) continue;
        const float i = sigmoid(sum[r] + input[0][r]), f = sigmoid(sum[R + r] + input[1][r]);
        const float g = tanhf(sum[2 * R + r] + input[2][r]), o = sigmoid(sum[3 * R + r] + input[3][r]);
        const float state = f * c_before[r] + i * g, output = o * tanhf(state);
        float* to = gates + step * J + u;
        to[0] = i, to[U] = f, to[2 * U] = g, to[3 * U] = o;
        c[step * U + u] = state;
        h[step * U + u] = output;
        if (UNITS) before[(t + 1) % 2][s][u] = output;
      }
    }
    __syncthreads();
  }
}

// dz (N, T, 4U), from the last step to the first; in dzx (N, 4U), if there is one, its sum over the steps. dh becomes
// what the gradient of c passes on to the step before.
//
// Sixteen neighbours share four units: each multiplies a sixteenth of dz_(t+1) with the units' rows of wh, for 4 R
// samples; then they exchange their sums, and each of them makes dz of one unit and R samples.
template <int UNITS, int R>
__device__ void walk_back(float* dz, float* dzx, float* dh, const float* c, const float* gates, const float* wh, int N,
                          int T, int U) {
  constexpr int S = 4 * R, ROW = 4 * UNITS + PAD;
  __shared__ __align__(16) float after[2][S][ROW];  // dz_(t+1), zero behind a row's 4U numbers, and dz_t
  const int J = 4 * U, part = threadIdx.x % 16;
  const long long first = (long long)blockIdx.x * S;  // sample of this block: places are counted from there
  dh += first * T * U, c += first * T * U, gates += first * T * J, dz += first * T * J, dzx += dzx ? first * J : 0;
  const int samples = min(N - first, (long long)S);
  Four kept[UNITS / 16 + 1][4];  // weights: of fours 16 apart, for the four units
  if (UNITS) {
    for (int i = threadIdx.x; i < 2 * S * ROW; i += blockDim.x) (&after[0][0][0])[i] = 0.f;
#pragma unroll
    for (int i = 0; i < UNITS / 4; i++) {
      const int unit = min((int)threadIdx.x / 16 * 4 + i % 4, U - 1);
      kept[i / 4][i % 4] = load_four(wh + unit * J, i / 4 * 64 + 4 * part, J);
    }
    __syncthreads();
  }
  for (int t = T - 1; t >= 0; t--) {
    for (int group = threadIdx.x / 16; group < up(U, 8) / 4; group += blockDim.x / 16) {
      const int u = 4 * group + part % 4;
      float gate[4][R], state[R], c_before[R], dh_t[R], dc_next[R], sum[16 * R] = {};
#pragma unroll
      for (int r = 0; r < R; r++) {
        const int s = part / 4 * R + r, step = s * T + t;
        if (s >= samples || u >= U) continue;
#pragma unroll
        for (int i = 0; i < 4; i++) gate[i][r] = gates[step * J + i * U + u];
        state[r] = c[step * U + u];
        c_before[r] = t > 0 ? c[(step - 1) * U + u] : 0.f;
        dh_t[r] = dh[step * U + u];
        dc_next[r] = t < T - 1 ? dh[(step + 1) * U + u] : 0.f;
      }
      if (UNITS) {
#pragma unroll
        for (int k = 0; k < UNITS / 16; k++) {
#pragma unroll
          for (int s = 0; s < S; s++) {
            add_terms<R>(sum, s, kept[k], shared_four(after[(t + 1) % 2][s][64 * k + 4 * part]));
          }
        }
      } else if (t < T - 1) {
        for (int j = 4 * part; j < J; j += 64) {
          Four w[4];
#pragma unroll
          for (int i = 0; i < 4; i++) w[i] = load_four(wh + min(4 * group + i, U - 1) * J, j, J);
#pragma unroll
          for (int s = 0; s < S; s++) {
            add_terms<R>(sum, s, w, load_four(dz + (min(s, samples - 1) * T + t + 1) * J, j, J));
          }
        }
      }
      halve<16 * R>(sum, 8);
      halve<8 * R>(sum, 4);
      halve<4 * R>(sum, 2);
      halve<2 * R>(sum, 1);
#pragma unroll
      for (int r = 0; r < R; r++) {
        const int s = part / 4 * R + r, step = s * T + t;
        if (s >= samples || u >= U) continue;
        const float i = gate[0][r], f = gate[1][r], g = gate[2][r], o = gate[3][r], tanh_c = tanhf(state[r]);
        const float dh_all = dh_t[r] + sum[r];
        const float dc = dc_next[r] + dh_all * o * (1.f - tanh_c * tanh_c);  // h = o tanh(c)
        const float d[4] = {dc * g * i * (1.f - i), dc * c_before[r] * f * (1.f - f),  // c = f c_before + i g
                            dc * i * (1.f - g * g), dh_all * tanh_c * o * (1.f - o)};
        dh[step * U + u] = dc * f;
#pragma unroll
        for (int k = 0; k < 4; k++) {
          const int j = k * U + u;
          dz[step * J + j] = d[k];
          if (UNITS) after[t % 2][s][j] = d[k];
          if (dzx) dzx[s * J + j] = t == T - 1 ? d[k] : dzx[s * J + j] + d[k];
        }
      }
    }
    __syncthreads();
  }
}

// With two blocks of 256 threads a multiprocessor each thread has 128 registers.
extern "C" __global__ void __launch_bounds__(128, 4)
walk_32_units(float* h /*(N, T, U)*/, float* c /*(N, T, U)*/, float* gates /*(N, T, 4, U)*/,
              const float* zx /*(N, 4, U)*/, const float* wh /*(U, 4, U)*/, int N, int T, int U) {
  walk<32, 1>(h, c, gates, zx, wh, N, T, U);
}

extern "C" __global__ void __launch_bounds__(256, 2)
walk_64_units(float* h /*(N, T, U)*/, float* c /*(N, T, U)*/, float* gates /*(N, T, 4, U)*/,
              const float* zx /*(N, 4, U)*/, const float* wh /*(U, 4, U)*/, int N, int T, int U) {
  walk<64, 1>(h, c, gates, zx, wh, N, T, U);
}

extern "C" __global__ void __launch_bounds__(256, 2)
walk_4_samples(float* h /*(N, T, U)*/, float* c /*(N, T, U)*/, float* gates /*(N, T, 4, U)*/,
               const float* zx /*(N, 4, U)*/, const float* wh /*(U, 4, U)*/, int N, int T, int U) {
  walk<0, 1>(h, c, gates, zx, wh, N, T, U);
}

extern "C" __global__ void __launch_bounds__(256, 2)
walk_8_samples(float* h /*(N, T, U)*/, float* c /*(N, T, U)*/, float* gates /*(N, T, 4, U)*/,
               const float* zx /*(N, 4, U)*/, const float* wh /*(U, 4, U)*/, int N, int T, int U) {
  walk<0, 2>(h, c, gates, zx, wh, N, T, U);
}

extern "C" __global__ void __launch_bounds__(128, 4)
walk_back_32_units(float* dz /*(N, T, 4, U)*/, float* dzx /*(N, 4, U)*/, float* dh /*(N, T, U)*/,
                   const float* c /*(N, T, U)*/, const float* gates /*(N, T, 4, U)*/, const float* wh /*(U, 4, U)*/,
                   int N, int T, int U) {
  walk_back<32, 1>(dz, dzx, dh, c, gates, wh, N, T, U);
}

extern "C" __global__ void __launch_bounds__(256, 2)
walk_back_64_units(float* dz /*(N, T, 4, U)*/, float* dzx /*(N, 4, U)*/, float* dh /*(N, T, U)*/,
                   const float* c /*(N, T, U)*/, const float* gates /*(N, T, 4, U)*/, const float* wh /*(U, 4, U)*/,
                   int N, int T, int U) {
  walk_back<64, 1>(dz, dzx, dh, c, gates, wh, N, T, U);
}

extern "C" __global__ void __launch_bounds__(256, 2)
walk_back_4_samples(float* dz /*(N, T, 4, U)*/, float* dzx /*(N, 4, U)*/, float* dh /*(N, T, U)*/,
                    const float* c /*(N, T, U)*/, const float* gates /*(N, T, 4, U)*/, const float* wh /*(U, 4, U)*/,
                    int N, int T, int U) {
  walk_back<0, 1>(dz, dzx, dh, c, gates, wh, N, T, U);
}

extern "C" __global__ void __launch_bounds__(256, 2)
walk_back_8_samples(float* dz /*(N, T, 4, U)*/, float* dzx /*(N, 4, U)*/, float* dh /*(N, T, U)*/,
                    const float* c /*(N, T, U)*/, const float* gates /*(N, T, 4, U)*/, const float* wh /*(U, 4, U)*/,
                    int N, int T, int U) {
  walk_back<0, 2>(dz, dzx, dh, c, gates, wh, N, T, U);
}

// ---- gradients of the weights --------------------------------------------------------------------------------------
// [x, 1, h_before], a row for each sample and step: what z = x wx + b + h_before wh multiplies.
struct Features {
  static constexpr Direction direction = ACROSS_K;
  using Fetched = Four;
  const float *x, *h;
  int rows, I, U, T;

  __device__ __forceinline__ float at(int row, int k) const {
    if (k < I) return x[(long long)row * I + k];
    if (k == I) return 1.f;
    k -= I + 1;
    return k < U && row % T > 0 ? h[(row - 1ll) * U + k] : 0.f;  // the first step has zeros before it
  }

  __device__ __forceinline__ Four fetch(int row, int k) const {
    if (row >= rows) return {0.f, 0.f, 0.f, 0.f};
    return {at(row, k), at(row, k + 1), at(row, k + 2), at(row, k + 3)};
  }

  __device__ __forceinline__ Four value(const Four& fetched) const { return fetched; }
};

// The sums over rows of dz^T [x, 1, h_before]: the gradients of wx, b and wh beside each other, transposed, since 4U
// fits the rows of a tile better. blockIdx.z says over which share of the rows; each has a matrix in `partial`.
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS)
weight_partials(float* partial /*(>= gridDim.z, J, U)*/, const float* dz /*(rows, J)*/, const float* x /*(>= rows, I)*/,
                const float* h /*(>= rows, U)*/, int rows, int I, int U, int J, int T) {
  __shared__ LargeTile::Shared shared;
  const int share = up(rows, gridDim.z) / gridDim.z, begin = blockIdx.z * share, end = min(begin + share, rows);
  const int columns = up(I + 1 + U, 4);  // the last ones are zero, so that all are written by fours
  Matrix<ACROSS_K> a = {dz, end, J};
  Features b = {x, h, end, I, U, T};
  Result sums = {partial + (long long)blockIdx.z * J * columns, J, columns, false};
  product<LargeTile>(sums, a, b, blockIdx.y * LargeTile::ROWS, blockIdx.x * LargeTile::COLUMNS, begin, end, shared);
}

// The gradients, written or added, from the sums over each share in their order. Those that are null are not asked for.
extern "C" __global__ void weight_gradients(float* dwx /*(I, J)*/, float* dwh /*(U, J)*/, float* db /*(J)*/,
                                            const float* partial /*(>= shares, J, U)*/, int I, int U, int J, int shares,
                                            int accumulate) {
  const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x, columns = up(I + 1 + U, 4), size = J * columns;
  if (i >= size) return;
  const long long j = i / columns, k = i % columns;
  float* to = nullptr;
  if (k < I) to = dwx + k * J + j;
  if (k == I && db) to = db + j;
  if (k > I && k <= I + U) to = dwh + (k - I - 1) * J + j;
  if (!to) return;
  float sum = 0.f;
  for (int share = 0; share < shares; share++) sum += partial[share * size + i];
  *to = accumulate ? *to + sum : sum;
}
