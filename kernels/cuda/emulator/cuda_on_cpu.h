// CUDA C++ for g++: the keywords, built-in variables and functions that a .cu file may use.
//
// Threads of a block are fibers of one thread of the processor, so shared memory is static storage and an atomic
// operation is an ordinary one. What has to wait for other threads calls the runtime. The place of a call comes from
// __builtin_FILE and __builtin_LINE, which as default arguments are those of the caller.
//
// A kernel file has two ways to tell the machines apart: CUDA_ON_CPU is defined here, __CUDA_ARCH__ is not.
#pragma once
#include <math.h>

#include <cstring>
#include <type_traits>
#include <utility>

#include "interface.h"

#define CUDA_ON_CPU 1

// ---- keywords -------------------------------------------------------------------------------------------------------
#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __shared__ static  // `extern __shared__` is rewritten before it comes here
#define __launch_bounds__(...)
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(bytes) __attribute__((aligned(bytes)))

#define threadIdx (emulator_thread())
#define blockIdx (emulator_block())
#define blockDim (emulator_block_size())
#define gridDim (emulator_grid_size())
#define warpSize 32

// Where the caller stands, to be added to a function's parameters.
#define PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()
// A function of the emulator's own that touches memory for a kernel: the checker is told, instead of watching it.
#define UNWATCHED __attribute__((noinline, no_sanitize("thread", "undefined")))

// ---- vectors --------------------------------------------------------------------------------------------------------
#define VECTORS(T, two, three, four, align_two, align_four)              \
  struct alignas(align_two) two { T x, y; };                             \
  struct three { T x, y, z; };                                           \
  struct alignas(align_four) four { T x, y, z, w; };                     \
  inline two make_##two(T x, T y) { return {x, y}; }                     \
  inline three make_##three(T x, T y, T z) { return {x, y, z}; }         \
  inline four make_##four(T x, T y, T z, T w) { return {x, y, z, w}; }

VECTORS(float, float2, float3, float4, 8, 16)
VECTORS(double, double2, double3, double4, 16, 16)
VECTORS(int, int2, int3, int4, 8, 16)
VECTORS(unsigned char, uchar2, uchar3, uchar4, 2, 4)
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
#undef VECTORS

// ---- memory ---------------------------------------------------------------------------------------------------------
// Hints to caches. Macros, so that the access stays in the kernel, where it is watched and has a line.
#define __ldg(address) (*(address))
#define __ldca(address) (*(address))
#define __ldcg(address) (*(address))
#define __ldcs(address) (*(address))
#define __stcg(address, value) (*(address) = (value))
#define __stcs(address, value) (*(address) = (value))

inline void __threadfence() { emulator_fence(); }
inline void __threadfence_block() {}  // one thread runs at a time

// ---- the threads of a block -----------------------------------------------------------------------------------------
inline void __syncthreads(PLACE) { emulator_barrier(false, file, line); }
inline int __syncthreads_count(int vote, PLACE) { return emulator_barrier(vote != 0, file, line); }
inline int __syncthreads_or(int vote, PLACE) { return emulator_barrier(vote != 0, file, line) != 0; }
inline int __syncthreads_and(int vote, PLACE) { return emulator_barrier(vote == 0, file, line) == 0; }

// ---- the lanes of a warp --------------------------------------------------------------------------------------------
namespace emulator {

template <class T>
T shuffle(unsigned mask, T value, int source, const char* file, int line) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  bits = emulator_warp(Warp::shuffle, mask, bits, source, file, line);
  memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace emulator

inline void __syncwarp(unsigned mask = 0xffffffffu, PLACE) {
  emulator_warp(emulator::Warp::sync, mask, 0, 0, file, line);
}

// `width` cuts the warp into groups. A lane whose source lies outside its group keeps its own value.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, PLACE) {
  int lane = emulator_lane();
  return emulator::shuffle(mask, value, (lane & ~(width - 1)) + (source & (width - 1)), file, line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32, PLACE) {
  int lane = emulator_lane(), inside = lane & (width - 1);
  return emulator::shuffle(mask, value, inside + (int)distance < width ? lane + (int)distance : lane, file, line);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32, PLACE) {
  int lane = emulator_lane(), inside = lane & (width - 1);
  return emulator::shuffle(mask, value, inside >= (int)distance ? lane - (int)distance : lane, file, line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, PLACE) {
  int lane = emulator_lane(), source = lane ^ bits;
  return emulator::shuffle(mask, value, source / width <= lane / width ? source : lane, file, line);
}

inline unsigned __ballot_sync(unsigned mask, int vote, PLACE) {
  return (unsigned)emulator_warp(emulator::Warp::ballot, mask, vote != 0, 0, file, line);
}
inline int __any_sync(unsigned mask, int vote, PLACE) { return __ballot_sync(mask, vote, file, line) != 0; }
inline int __all_sync(unsigned mask, int vote, PLACE) { return __ballot_sync(mask, !vote, file, line) == 0; }

// ---- atomic operations ----------------------------------------------------------------------------------------------
namespace emulator {

template <class T>
struct Same {
  using type = T;
};

template <class T>
constexpr void check_atomic() {
  static_assert(!std::is_floating_point_v<T>,
                "a float atomic adds in another order, and so to another sum, in every run: kernels do without");
  static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "atomics are for integers of 4 or 8 bytes");
}

}  // namespace emulator

#define ATOMIC(name, result)                                                     \
  template <class T>                                                             \
  UNWATCHED T name(T* address, typename emulator::Same<T>::type value) {         \
    emulator::check_atomic<T>();                                                 \
    emulator_atomic(address, sizeof(T), __builtin_return_address(0));            \
    T old = *address;                                                            \
    *address = (result);                                                         \
    return old;                                                                  \
  }
ATOMIC(atomicAdd, old + value)
ATOMIC(atomicSub, old - value)
ATOMIC(atomicExch, value)
ATOMIC(atomicMin, value < old ? value : old)
ATOMIC(atomicMax, old < value ? value : old)
ATOMIC(atomicAnd, old& value)
ATOMIC(atomicOr, old | value)
ATOMIC(atomicXor, old ^ value)
ATOMIC(atomicInc, old >= value ? 0 : old + 1)
ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)
#undef ATOMIC

template <class T>
UNWATCHED T atomicCAS(T* address, typename emulator::Same<T>::type expected, typename emulator::Same<T>::type value) {
  emulator::check_atomic<T>();
  emulator_atomic(address, sizeof(T), __builtin_return_address(0));
  T old = *address;
  if (old == expected) *address = value;
  return old;
}

// ---- arithmetic -----------------------------------------------------------------------------------------------------
namespace emulator {

template <class To, class From>
To same_bits(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To result;
  memcpy(&result, &value, sizeof result);
  return result;
}

}  // namespace emulator

inline int __float_as_int(float x) { return emulator::same_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return emulator::same_bits<unsigned>(x); }
inline float __int_as_float(int x) { return emulator::same_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return emulator::same_bits<float>(x); }
inline int __float2int_rn(float x) { return (int)rintf(x); }
inline int __float2int_rd(float x) { return (int)floorf(x); }
inline int __float2int_ru(float x) { return (int)ceilf(x); }
inline int __float2int_rz(float x) { return (int)x; }
inline unsigned __float2uint_rz(float x) { return (unsigned)x; }
inline float __int2float_rn(int x) { return (float)x; }
inline float __uint2float_rn(unsigned x) { return (float)x; }

template <class A, class B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  return T(b) < T(a) ? T(b) : T(a);
}
template <class A, class B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  return T(a) < T(b) ? T(b) : T(a);
}

inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline int __mulhi(int a, int b) { return (int)((int64_t)a * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return (unsigned)((((uint64_t)high << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return (unsigned)(((uint64_t)high << 32 | low) >> (shift & 31));
}

// The fast ones of a GPU have errors of several units in the last place. Here they are as good as the others, so what
// they cost in accuracy is for a run on a GPU to tell.
inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return powf(10.f, x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline double rsqrt(double x) { return 1. / sqrt(x); }
inline float sinpif(float x) { return (float)sin(M_PI * (double)x); }
inline float cospif(float x) { return (float)cos(M_PI * (double)x); }
inline void sincospif(float x, float* sine, float* cosine) {
  *sine = sinpif(x);
  *cosine = cospif(x);
}
inline float __saturatef(float x) { return x > 0.f ? (x < 1.f ? x : 1.f) : 0.f; }  // 0 for NaN, as on a GPU

// Rounded once each and never contracted, which is how everything is compiled here.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.f / a; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }

// ---- tensor cores ---------------------------------------------------------------------------------------------------
// Kernels wrap their PTX, and call these where CUDA_ON_CPU is defined.

// cvt.rna.tf32.f32: to ten bits of mantissa, ties away from zero.
inline float emulated_tf32(float x) { return __uint_as_float((__float_as_uint(x) + 0x1000u) & 0xffffe000u); }

// mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32, by all lanes of a warp: c (16, 8) += a (16, 8) b (8, 8).
inline void emulated_mma_m16n8k8_tf32(float (&c)[4], const float (&a)[4], const float (&b)[2], PLACE) {
  emulator::Fragments mine{c, a, b};
  emulator_warp(emulator::Warp::multiply, 0xffffffffu, (uint64_t)&mine, 0, file, line);
}

// ---- launching ------------------------------------------------------------------------------------------------------
namespace emulator {

template <auto function>
struct Call;

// An argument in eight bytes; of a structure they are its address.
template <class T>
UNWATCHED const T& argument(const uint64_t* slot) {
  return *reinterpret_cast<const T*>(std::is_class_v<T> ? *slot : (uint64_t)slot);
}

template <class... Arguments, void (*function)(Arguments...)>
struct Call<function> {
  template <size_t... i>
  UNWATCHED static void unpack(const uint64_t* arguments, std::index_sequence<i...>) {
    function(argument<std::remove_cv_t<Arguments>>(arguments + i)...);
  }
  UNWATCHED static void run(const uint64_t* arguments) { unpack(arguments, std::index_sequence_for<Arguments...>{}); }
};

}  // namespace emulator

#define EXPORTED extern "C" __attribute__((visibility("default")))
// What Python calls to launch a kernel, and the largest block that the kernel was declared for.
#define EMULATOR_EXPORT(kernel, bound)                                           \
  EXPORTED int launch_##kernel(const emulator::Launch* launch) {                 \
    return emulator_launch(launch, &emulator::Call<&kernel>::run);               \
  }                                                                              \
  EXPORTED int bound_##kernel() { return bound; }
