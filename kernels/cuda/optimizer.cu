// Optimizers over all parameters at once, and what goes with a step. A thread updates four neighbours.
//
// Floor: what is read and written. Bytes a parameter: sgd 12, with momentum 20; adam 28, with v_max 36; rmsprop 20, and
// 8 more each with a mean or a momentum; adadelta 28; weight_decay and clip_by_value 8; mean_gradient 16;
// find_nonfinite 4; the others 12. The arithmetic, for adam a root and a division a parameter, is little beside that.
// Each is one launch, but for clip_by_norm of more than 4096 numbers, which is two.
//
// The learning rate, the count of updates and the flag are read on the device, so that a step that was recorded once
// can be run again with others. The flag is looked at after the arrays are loaded: all are under way together.
#include "common.cuh"

constexpr int THREADS = 256;

// ---- counters ------------------------------------------------------------------------------------------------------
// What a step leaves behind, in one block.
extern "C" __global__ void __launch_bounds__(THREADS)
end_step(long long* counters /*(counted)*/, double* sums /*(summed)*/, const float* totals /*(summed)*/,
         const int* flag /*(1)*/, int counted, int summed, int n) {
  if (flag[0]) return;
  for (int i = threadIdx.x; i < counted; i += THREADS) counters[i] += 1;
  for (int i = threadIdx.x; i < summed; i += THREADS) sums[i] += n * (double)totals[i];
}

// ---- updates -------------------------------------------------------------------------------------------------------
extern "C" __global__ void __launch_bounds__(THREADS)
sgd(float* p /*(P)*/, const float* g /*(P)*/, float* m /*(P)*/, const float* lr /*(1)*/, const int* flag /*(1)*/,
    long long P, float momentum, int nesterov) {
  const long long i = first_of_four();
  if (i >= P) return;
  Four value = load_four(p, i, P), velocity = m ? load_four(m, i, P) : Four{};
  const Four gradient = load_four(g, i, P);
  const float rate = lr[0];
  if (flag[0]) return;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const float step = rate * gradient.at[k];
    velocity.at[k] = momentum * velocity.at[k] - step;
    value.at[k] += nesterov ? momentum * velocity.at[k] - step : velocity.at[k];
  }
  store_four(p, i, P, value);
  if (m) store_four(m, i, P, velocity);
}

// x^n, rounded once. float32's own power is off by a unit or two of the last place, which 1 - .999^n magnifies a
// thousandfold, and differs from library to library; double precision is slow on many GPUs, so one thread computes it.
__device__ float power(float x, long long n) {
  double square = x, product = 1.;
  for (; n > 0; n /= 2, square *= square)
    if (n % 2) product *= square;
  return (float)product;
}

// rest is 1 - beta, rounded once. The bias corrections are those of float32, as in all rooms and in Keras.
extern "C" __global__ void __launch_bounds__(THREADS)
adam(float* p /*(P)*/, const float* g /*(P)*/, float* m /*(P)*/, float* v /*(P)*/, float* v_max /*(P)*/,
     const long long* t /*(1)*/, const float* lr /*(1)*/, const int* flag /*(1)*/, long long P, float beta_1,
     float rest_1, float beta_2, float rest_2, float epsilon) {
  __shared__ float step;
  if (threadIdx.x == 0) step = lr[0] * sqrtf(1.f - power(beta_2, t[0])) / (1.f - power(beta_1, t[0]));
  __syncthreads();
  const long long i = first_of_four();
  if (i >= P) return;
  Four value = load_four(p, i, P), first = load_four(m, i, P), second = load_four(v, i, P);
  Four largest = v_max ? load_four(v_max, i, P) : Four{};
  const Four gradient = load_four(g, i, P);
  if (flag[0]) return;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    first.at[k] += rest_1 * (gradient.at[k] - first.at[k]);
    second.at[k] += rest_2 * (gradient.at[k] * gradient.at[k] - second.at[k]);
    largest.at[k] = v_max && second.at[k] < largest.at[k] ? largest.at[k] : second.at[k];  // a NaN stays
    value.at[k] -= step * first.at[k] / (sqrtf(largest.at[k]) + epsilon);
  }
  store_four(p, i, P, value);
  store_four(m, i, P, first);
  store_four(v, i, P, second);
  if (v_max) store_four(v_max, i, P, largest);
}

extern "C" __global__ void __launch_bounds__(THREADS)
rmsprop(float* p /*(P)*/, const float* g /*(P)*/, float* v /*(P)*/, float* mean /*(P)*/, float* m /*(P)*/,
        const float* lr /*(1)*/, const int* flag /*(1)*/, long long P, float rho, float rest, float momentum,
        float epsilon) {
  const long long i = first_of_four();
  if (i >= P) return;
  Four value = load_four(p, i, P), square = load_four(v, i, P);
  Four average = mean ? load_four(mean, i, P) : Four{}, velocity = m ? load_four(m, i, P) : Four{};
  const Four gradient = load_four(g, i, P);
  const float rate = lr[0];
  if (flag[0]) return;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const float slope = gradient.at[k];
    square.at[k] = rho * square.at[k] + rest * slope * slope;
    float variance = square.at[k];
    if (mean) {
      average.at[k] = rho * average.at[k] + rest * slope;
      variance -= average.at[k] * average.at[k];
      variance = variance < 0.f ? 0.f : variance;  // rounding can make the difference negative
    }
    velocity.at[k] = momentum * velocity.at[k] + rate * slope / sqrtf(variance + epsilon);
    value.at[k] -= velocity.at[k];
  }
  store_four(p, i, P, value);
  store_four(v, i, P, square);
  if (mean) store_four(mean, i, P, average);
  if (m) store_four(m, i, P, velocity);
}

extern "C" __global__ void __launch_bounds__(THREADS)
adadelta(float* p /*(P)*/, const float* g /*(P)*/, float* a /*(P)*/, float* d /*(P)*/, const float* lr /*(1)*/,
         const int* flag /*(1)*/, long long P, float rho, float rest, float epsilon) {
  const long long i = first_of_four();
  if (i >= P) return;
  Four value = load_four(p, i, P), squares = load_four(a, i, P), updates = load_four(d, i, P);
  const Four gradient = load_four(g, i, P);
  const float rate = lr[0];
  if (flag[0]) return;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const float slope = gradient.at[k];
    squares.at[k] = rho * squares.at[k] + rest * slope * slope;
    const float step = -sqrtf(updates.at[k] + epsilon) / sqrtf(squares.at[k] + epsilon) * slope;
    updates.at[k] = rho * updates.at[k] + rest * step * step;
    value.at[k] += rate * step;
  }
  store_four(p, i, P, value);
  store_four(a, i, P, squares);
  store_four(d, i, P, updates);
}

// ---- sums of two ---------------------------------------------------------------------------------------------------
extern "C" __global__ void __launch_bounds__(THREADS)
weight_decay(float* p /*(P)*/, const float* lr /*(1)*/, const int* flag /*(1)*/, long long P, float decay) {
  const long long i = first_of_four();
  if (i >= P) return;
  Four value = load_four(p, i, P);
  const float rate = lr[0];
  if (flag[0]) return;
#pragma unroll
  for (int k = 0; k < 4; ++k) value.at[k] -= value.at[k] * decay * rate;
  store_four(p, i, P, value);
}

// x = a x + b y: a gradient more, a moving average.
extern "C" __global__ void __launch_bounds__(THREADS)
combine(float* x /*(P)*/, const float* y /*(P)*/, const int* flag /*(1)*/, long long P, float a, float b) {
  const long long i = first_of_four();
  if (i >= P) return;
  Four value = load_four(x, i, P);
  const Four other = load_four(y, i, P);
  if (flag[0]) return;
#pragma unroll
  for (int k = 0; k < 4; ++k) value.at[k] = a * value.at[k] + b * other.at[k];
  store_four(x, i, P, value);
}

extern "C" __global__ void __launch_bounds__(THREADS)
mean_gradient(float* g /*(P)*/, float* total /*(P)*/, const int* flag /*(1)*/, long long P, float steps) {
  const long long i = first_of_four();
  if (i >= P) return;
  Four value = load_four(g, i, P);
  const Four sum = load_four(total, i, P);
  if (flag[0]) return;
#pragma unroll
  for (int k = 0; k < 4; ++k) value.at[k] = (value.at[k] + sum.at[k]) / steps;
  store_four(g, i, P, value);
  store_four(total, i, P, Four{});
}

// ---- clipping, and what is not finite ------------------------------------------------------------------------------
extern "C" __global__ void __launch_bounds__(THREADS)
clip_by_value(float* g /*(P)*/, long long P, float limit) {
  const long long i = first_of_four();
  if (i >= P) return;
  Four value = load_four(g, i, P);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const float x = value.at[k];
    value.at[k] = x > limit ? limit : x < -limit ? -limit : x;
  }
  store_four(g, i, P, value);
}

// The sum of squares that falls to this block, in thread 0.
__device__ __forceinline__ float block_squares(const float* g, long long P, float* of_warp) {
  float sum = 0.f;
  for (long long i = first_of_four(); i < P; i += 4LL * THREADS * gridDim.x) {
    const Four value = load_four(g, i, P);
#pragma unroll
    for (int k = 0; k < 4; ++k) sum += value.at[k] * value.at[k];
  }
  return block_sum<THREADS>(sum, of_warp);
}

extern "C" __global__ void __launch_bounds__(THREADS)
squares(float* partial /*(gridDim.x)*/, const float* g /*(P)*/, long long P) {
  __shared__ float of_warp[THREADS / WARP];
  const float sum = block_squares(g, P, of_warp);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// g *= limit / max(|g|, limit). Every block adds the sums that `squares` left, all in the same order; without them
// (partial null) one block does everything.
extern "C" __global__ void __launch_bounds__(THREADS)
shrink(float* g /*(P)*/, const float* partial /*(count)*/, int count, long long P, float limit) {
  __shared__ float of_warp[THREADS / WARP], factor;
  float sum = 0.f;
  if (partial) {
    for (int i = threadIdx.x; i < count; i += THREADS) sum += partial[i];
    sum = block_sum<THREADS>(sum, of_warp);
  } else {
    sum = block_squares(g, P, of_warp);
  }
  if (threadIdx.x == 0) {
    const float norm = sqrtf(sum);
    factor = norm <= limit ? 1.f : limit / norm;  // a NaN goes everywhere
  }
  __syncthreads();
  if (factor == 1.f) return;
  for (long long i = first_of_four(); i < P; i += 4LL * THREADS * gridDim.x) {
    Four value = load_four(g, i, P);
#pragma unroll
    for (int k = 0; k < 4; ++k) value.at[k] *= factor;
    store_four(g, i, P, value);
  }
}

constexpr float LARGEST = 3.402823466e38f;  // finite number

// Threads that find one all write the same. The first block looks at the values, too.
extern "C" __global__ void __launch_bounds__(THREADS)
find_nonfinite(int* flag /*(1)*/, const float* x /*(n)*/, const float* values /*(k)*/, long long n, int k) {
  bool finite = true;
  const long long i = first_of_four();
  if (i < n) {
    const Four value = load_four(x, i, n);
#pragma unroll
    for (int j = 0; j < 4; ++j) finite = finite && fabsf(value.at[j]) <= LARGEST;  // not so for a NaN
  }
  for (int j = threadIdx.x; blockIdx.x == 0 && j < k; j += THREADS) finite = finite && fabsf(values[j]) <= LARGEST;
  if (!finite) atomicExch(flag, 1);
}
