"""The emulator finds what is wrong with kernels, and runs those that are right as a GPU does."""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from scratchae.kernels.cuda.emulator import Array, Emulator, KernelError, build, machine, unavailable
from scratchae.kernels.cuda.launcher import Source

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())

ORDERS = ("forward", "reverse", "random")

# ---- kernels with a mistake each ------------------------------------------------------------------------------------
# The line of the mistake, where one line has it, ends with a comment "! name of the kernel".
WRONG = Source.of_text(
    "wrong",
    r"""
constexpr unsigned ALL = 0xffffffffu;

extern "C" __global__ void off_by_one(float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i <= n) y[i] = 1.f;  // ! off_by_one
}
extern "C" __global__ void unchecked(float* y, const float* x) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i] =
      x[i];  // ! unchecked
}
extern "C" __global__ void before(float* y, const float* x) {
  y[threadIdx.x] = x[(int)threadIdx.x - 1];  // ! before
}
extern "C" __global__ void null_pointer(float* y, const float* x) {
  y[threadIdx.x] = x[threadIdx.x + 8];  // ! null_pointer
}
extern "C" __global__ void past_the_tail(float* y, const float* x) {
  float2 two = reinterpret_cast<const float2*>(x)[threadIdx.x];  // ! past_the_tail
  y[threadIdx.x] = two.x + two.y;
}
__constant__ float TABLE[2] = {1.f, 2.f};
extern "C" __global__ void write_a_constant(float* y) {
  const_cast<float*>(TABLE)[threadIdx.x] = 0.f;  // ! write_a_constant
  y[threadIdx.x] = TABLE[threadIdx.x];
}
struct Piece {
  float* y;
  const float* x;
  int n;
};
template <class T>
struct Many {
  T at[16];
  int count;
};
extern "C" __global__ void past_a_piece(const __grid_constant__ Many<Piece> pieces) {
  const Piece& piece = pieces.at[blockIdx.x];
  piece.y[threadIdx.x] = piece.x[threadIdx.x + piece.n];  // ! past_a_piece
}
extern "C" __global__ void overlapping_pieces(const __grid_constant__ Many<Piece> pieces) {
  const Piece& piece = pieces.at[blockIdx.x];
  piece.y[threadIdx.x + piece.n] = piece.x[threadIdx.x];  // ! overlapping_pieces
}
__device__ __forceinline__ float helper(const float* x, int i) {
  return x[i];  // ! helper
}
extern "C" __global__ void in_a_helper(float* y, const float* x) {
  y[threadIdx.x] = helper(x, threadIdx.x + 1);  // ! in_a_helper
}

extern "C" __global__ void dropped_barrier(float* y) {
  __shared__ float s[64];
  s[threadIdx.x] = 1.f;
  y[threadIdx.x] = s[(threadIdx.x + 32) % 64];  // ! dropped_barrier
}
extern "C" __global__ void dropped_second_barrier(float* y) {
  __shared__ float s[64];
  for (int k = 0; k < 2; ++k) {
    s[threadIdx.x] = k;  // ! dropped_second_barrier
    __syncthreads();
    y[threadIdx.x] = s[(threadIdx.x + 32) % 64];
  }
}
extern "C" __global__ void dropped_syncwarp(float* y) {
  __shared__ float s[32];
  s[threadIdx.x] = 1.f;
  y[threadIdx.x] = s[threadIdx.x ^ 1];  // ! dropped_syncwarp
}
extern "C" __global__ void shuffle_is_no_fence(float* y) {
  __shared__ float s[32];
  s[threadIdx.x] = 1.f;
  __shfl_sync(ALL, 0, 0);
  y[threadIdx.x] = s[threadIdx.x ^ 1];  // ! shuffle_is_no_fence
}
extern "C" __global__ void half_a_syncwarp(float* y) {
  __shared__ float s[32];
  s[threadIdx.x] = 1.f;
  if (threadIdx.x < 16) __syncwarp(0xffff); else __syncwarp(0xffff0000);
  y[threadIdx.x] = s[threadIdx.x ^ 1];   // of the same half
  y[threadIdx.x] = s[threadIdx.x ^ 16];  // ! half_a_syncwarp
}
extern "C" __global__ void same_element(float* y) {
  y[0] = threadIdx.x;  // ! same_element
}
extern "C" __global__ void same_byte(unsigned char* y) {
  y[threadIdx.x / 2] = 1;  // ! same_byte
}
extern "C" __global__ void increment_across_blocks(int* y) {
  if (threadIdx.x == 0) y[0] += 1;  // ! increment_across_blocks
}
extern "C" __global__ void write_what_others_read(float* y, const float* x) {
  y[threadIdx.x] = 2.f * y[32 * blockIdx.x];  // ! write_what_others_read
}
extern "C" __global__ void read_a_counter(unsigned* counter, unsigned* y) {
  atomicAdd(counter, 1u);
  y[threadIdx.x] = *counter;  // ! read_a_counter
}
extern "C" __global__ void last_block_unfenced(float* y, float* partial, unsigned* counter) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = 1.f;
    last = atomicAdd(counter, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last || threadIdx.x > 0) return;
  float sum = 0.f;
  for (int i = 0; i < gridDim.x; ++i) sum += partial[i];  // ! last_block_unfenced
  y[0] = sum;
}
extern "C" __global__ void some_blocks_unfenced(float* y, float* partial, unsigned* counter) {
  partial[blockIdx.x] = 1.f;
  if (blockIdx.x % 2 == 0) __threadfence();
  if (atomicAdd(counter, 1u) < gridDim.x - 1) return;
  __threadfence();
  for (int i = 0; i < gridDim.x; ++i) y[i] = partial[i];  // ! some_blocks_unfenced
}

extern "C" __global__ void divergent_barrier(float* y) {
  if (threadIdx.x < 16) __syncthreads();  // ! divergent_barrier
  y[threadIdx.x] = 1.f;
}
extern "C" __global__ void two_barriers(float* y) {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncthreads();  // ! two_barriers
  }
  y[threadIdx.x] = 1.f;
}
extern "C" __global__ void divergent_shuffle(float* y) {
  float v = threadIdx.x;
  if (threadIdx.x < 16) v = __shfl_down_sync(ALL, v, 1);  // ! divergent_shuffle
  __syncthreads();
  y[threadIdx.x] = v;
}
extern "C" __global__ void two_shuffles(float* y) {
  if (threadIdx.x < 16) {
    y[threadIdx.x] = __shfl_sync(ALL, (float)threadIdx.x, 0);
  } else {
    y[threadIdx.x] = __shfl_sync(ALL, (float)threadIdx.x, 1);  // ! two_shuffles
  }
}
extern "C" __global__ void lane_outside_mask(float* y) {
  y[threadIdx.x] = __shfl_sync(0xffffu, (float)threadIdx.x, 0);  // ! lane_outside_mask
}

extern "C" __global__ void misaligned(float* y) {
  reinterpret_cast<float4*>(y + 1)[threadIdx.x] = make_float4(0, 0, 0, 0);  // ! misaligned
}
extern "C" __global__ void write_const(const float* x) {
  const_cast<float*>(x)[threadIdx.x] = 0.f;  // ! write_const
}
extern "C" __global__ void fresh_shared(float* y) {
  __shared__ float s[32];
  if (threadIdx.x != 7) s[threadIdx.x] = 1.f;
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];  // ! fresh_shared
}
extern "C" __global__ void unwritten(float* y) {
  y[threadIdx.x] += 1.f;  // ! unwritten
}
extern "C" __global__ void past_a_row(float* y) {
  __shared__ float s[2][16];
  s[threadIdx.x / 16][threadIdx.x % 16] = 1.f;
  __syncthreads();
  y[threadIdx.x] = s[0][threadIdx.x];  // ! past_a_row
}
extern "C" __global__ void past_shared(float* y) {
  __shared__ float s[16];
  float* p = s;
  p[threadIdx.x] = 1.f;  // ! past_shared
  __syncthreads();
  y[threadIdx.x] = s[0];
}
extern "C" __global__ void past_dynamic(float* y) {
  extern __shared__ float s[];
  s[threadIdx.x] = 1.f;  // ! past_dynamic
}
extern "C" __global__ void __launch_bounds__(2 * 32) bounded(float* y) { y[threadIdx.x] = 1.f; }
""",
)


def line_of(source, name):
    """Where the source has the comment `! name`."""
    lines = source.text.split("\n")[1:]
    (number,) = [i for i, line in enumerate(lines, 1) if line.endswith(f"! {name}")]
    return f"{source.name}:{number}"


def zeros(emulator, size, dtype="float32"):
    array = emulator.empty((size,) if isinstance(size, int) else size, dtype)
    emulator.upload(array, 0)
    return array


def finding(kernel, make_arguments, order="forward", grid=1, block=32, shared=0):
    """The message of the error in which a launch ends."""
    emulator = Emulator(order=order, seed=3)
    with pytest.raises(KernelError) as error:
        WRONG.launch(kernel, grid, block, *make_arguments(emulator), shared=shared)
    return str(error.value)


def floats(*sizes):
    """Makes the arguments of a kernel: arrays of zeros."""
    return lambda emulator: [zeros(emulator, size) for size in sizes]


RACE_OR_FRESH = "race: reads s at byte|no thread of the block has written"  # it depends on who comes first
IN_VAIN = r"waits in vain for thread \(\d+, 0, 0\), which waits at the barrier of wrong.cu"

# kernel: its arguments, what is said of it, how it is launched if not as one block of 32 threads
MISTAKES = {
    "off_by_one": (
        lambda e: (zeros(e, 40), 40),
        "out of bounds: write of 4 bytes, 4 past the end of the 160 bytes of y",
        {"grid": 2},
    ),
    "unchecked": (
        floats(64, 40),
        r"out of bounds: read of 4 bytes, \d+ past the end of the 160 bytes of x",
        {"grid": 2},
    ),
    "before": (floats(32, 32), "out of bounds: read of 4 bytes, 4 before the beginning of the 128 bytes of x", {}),
    "null_pointer": (
        lambda e: (zeros(e, 32), None),
        r"out of bounds: read of 4 bytes at 0x[0-9a-f]+: x is null",
        {},
    ),
    "past_the_tail": (
        floats(3, 5),
        "out of bounds: read of 8 bytes, 4 past the end of the 20 bytes of x",
        {"block": 3},
    ),
    "past_a_piece": (
        lambda e: ([{"y": zeros(e, 32), "x": zeros(e, 32), "n": n} for n in (0, 1)],),
        r"out of bounds: read of 4 bytes, 4 past the end of the 128 bytes of x",
        {"grid": 2},
    ),
    "overlapping_pieces": (
        lambda e: ([{"y": y, "x": zeros(e, 32), "n": n} for y in [zeros(e, 33)] for n in (0, 1)],),
        r"race: writes y at byte \d+, which block",
        {"grid": 2},
    ),
    "write_a_constant": (floats(2), "out of bounds: write of 4 bytes at 0x", {"block": 2}),
    "dropped_barrier": (floats(64), RACE_OR_FRESH, {"block": 64}),
    "dropped_second_barrier": (floats(64), "race: (reads|writes) s at byte", {"block": 64}),
    "dropped_syncwarp": (floats(32), RACE_OR_FRESH, {}),
    "shuffle_is_no_fence": (floats(32), "race: reads s at byte", {}),
    "half_a_syncwarp": (floats(32), "race: reads s at byte", {}),
    "same_element": (floats(1), "race: writes y at byte 0, which thread .* has written", {}),
    "same_byte": (lambda e: (zeros(e, 16, "uint8"),), r"race: writes y at byte \d+, which thread", {}),
    "increment_across_blocks": (
        lambda e: (zeros(e, 1, "int32"),),
        r"race: reads y at byte 0, which block \(\d, 0, 0\), thread \(0, 0, 0\) has written",
        {"grid": 2},
    ),
    "write_what_others_read": (floats(64, 1), "race: (reads|writes) y", {"grid": 2}),
    "read_a_counter": (
        lambda e: (zeros(e, 1, "uint32"), zeros(e, 32, "uint32")),
        "race: (reads|writes) counter at byte 0",
        {},
    ),
    "last_block_unfenced": (
        lambda e: (zeros(e, 1), zeros(e, 4), zeros(e, 1, "uint32")),
        r"race: reads partial at byte \d+, which block",
        {"grid": 4},
    ),
    "some_blocks_unfenced": (
        lambda e: (zeros(e, 4), zeros(e, 4), zeros(e, 1, "uint32")),
        r"race: reads partial at byte \d+, which block",
        {"grid": 4, "block": 1},
    ),
    "divergent_barrier": (floats(32), "16 of 32 threads wait at this barrier; the others have returned", {}),
    "two_barriers": (floats(32), IN_VAIN, {}),
    "divergent_shuffle": (floats(32), IN_VAIN, {}),
    "two_shuffles": (
        floats(32),
        r"waits in vain for thread \(\d+, 0, 0\), which waits with its warp of wrong.cu",
        {},
    ),
    "lane_outside_mask": (floats(32), r"lane \d+ is not in the mask 0xffff", {}),
    "misaligned": (floats(200), "misaligned", {}),
    "write_const": (floats(32), "writes x, which the kernel has declared const", {}),
    "fresh_shared": (
        floats(32),
        "reads the shared memory s at byte 28, which no thread of the block has written",
        {},
    ),
    "unwritten": (lambda e: (e.empty((32,), "float32"),), r"reads y at byte \d+, which nothing has written", {}),
    "past_a_row": (floats(32), r"out of bounds: \d+ is no index of this array", {}),
    "past_shared": (floats(32), r"out of bounds: write of 4 bytes, \d+ past the end of the 64 bytes of s", {}),
    "past_dynamic": (
        floats(32),
        r"out of bounds: write of 4 bytes, \d+ past the end of the 64 bytes of \(dynamic\)",
        {"shared": 64},
    ),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kernel", MISTAKES)
def test_a_mistake_is_found_with_its_line_block_and_thread(kernel, order):
    arguments, expected, how = MISTAKES[kernel]
    message = finding(kernel, arguments, order, **how)
    assert message.startswith(f"{kernel}: ")
    assert re.search(expected, message), message
    assert re.search(rf" {line_of(WRONG, kernel)}\b", message), message
    assert re.search(r"; wrong.cu:\d+, block \(\d+, 0, 0\), thread \(\d+, 0, 0\)", message), message


def test_every_kernel_with_a_mistake_is_tried():
    assert set(WRONG.kernels) == {*MISTAKES, "in_a_helper", "bounded"}


def test_block_and_thread_are_the_guilty_ones():
    message = finding("off_by_one", MISTAKES["off_by_one"][0], grid=2)
    assert message.endswith("block (1, 0, 0), thread (8, 0, 0)")


def test_a_race_tells_both_places():
    message = finding("dropped_second_barrier", MISTAKES["dropped_second_barrier"][0], block=64)
    write = int(line_of(WRONG, "dropped_second_barrier").split(":")[1])
    assert f"; wrong.cu:{write + 2}, block" in message
    assert message.endswith(f"; the other access: wrong.cu:{write}")


def test_an_inlined_function_tells_where_it_was_called():
    message = finding("in_a_helper", lambda e: (zeros(e, 32), zeros(e, 32)))
    assert f"{line_of(WRONG, 'helper')}, called at {line_of(WRONG, 'in_a_helper')}" in message


def test_the_emulator_goes_on_after_an_error():
    emulator = Emulator()
    y = zeros(emulator, 64)
    for _ in range(2):
        with pytest.raises(KernelError):
            WRONG.launch("divergent_barrier", 1, 32, y)
        WRONG.launch("bounded", 1, 64, y)
        assert (emulator.download(y) == 1).all()


def test_launch_bounds():
    emulator = Emulator()
    with pytest.raises(KernelError, match="bounded: 96 threads; its __launch_bounds__ are 64"):
        WRONG.launch("bounded", 1, 96, zeros(emulator, 96))


def test_views_have_their_own_bounds_and_overlapping_ones_are_one():
    emulator = Emulator()
    memory = zeros(emulator, 200)
    WRONG.launch("bounded", 1, 40, memory[100:140])
    assert emulator.download(memory).tolist() == [0] * 100 + [1] * 40 + [0] * 60
    with pytest.raises(KernelError, match="past the end of the 160 bytes of y"):
        WRONG.launch("bounded", 1, 41, memory[100:140])
    WRONG.launch("unchecked", 1, 32, memory[:32], memory[:32])  # in place


# ---- kernels that are right -----------------------------------------------------------------------------------------
RIGHT = Source.of_text(
    "right",
    r"""
constexpr unsigned ALL = 0xffffffffu;
__constant__ float TABLE[4] = {1.f, 2.f, 4.f, 8.f};

template <int TILE>
__device__ void multiply(float* c, const float* a, const float* b, int N) {
  __shared__ float left[TILE][TILE + 1], right[TILE][TILE];
  int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
  float sum = 0.f;
  for (int k0 = 0; k0 < N; k0 += TILE) {
    left[threadIdx.y][threadIdx.x] = row < N && k0 + threadIdx.x < N ? a[row * N + k0 + threadIdx.x] : 0.f;
    right[threadIdx.y][threadIdx.x] = column < N && k0 + threadIdx.y < N ? b[(k0 + threadIdx.y) * N + column] : 0.f;
    __syncthreads();
#pragma unroll
    for (int k = 0; k < TILE; ++k) sum = fmaf(left[threadIdx.y][k], right[k][threadIdx.x], sum);
    __syncthreads();
  }
  if (row < N && column < N) c[row * N + column] = sum;
}
extern "C" __global__ void __launch_bounds__(8 * 8) matmul(float* c, const float* a, const float* b, int N) {
  multiply<8>(c, a, b, N);
}

// Each block writes its part, and the one that comes last adds them up.
extern "C" __global__ void last_block(float* y, const float* x, float* partial, unsigned* counter, int n) {
  extern __shared__ float s[];
  __shared__ bool last;
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  s[threadIdx.x] = i < n ? x[i] : 0.f;
  __syncthreads();
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) s[threadIdx.x] += s[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = s[0];
    __threadfence();
    last = atomicAdd(counter, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    float sum = 0.f;
    for (int k = 0; k < gridDim.x; ++k) sum += partial[k];
    y[0] = sum;
    *counter = 0;
  }
}

extern "C" __global__ void shuffles(int* y) {
  int lane = threadIdx.x % 32, *out = y + threadIdx.x;
  out[0 * 64] = __shfl_sync(ALL, lane, 5);
  out[1 * 64] = __shfl_sync(ALL, lane, 5, 8);
  out[2 * 64] = __shfl_down_sync(ALL, lane, 3);
  out[3 * 64] = __shfl_down_sync(ALL, lane, 3, 8);
  out[4 * 64] = __shfl_up_sync(ALL, lane, 3);
  out[5 * 64] = __shfl_up_sync(ALL, lane, 3, 8);
  out[6 * 64] = __shfl_xor_sync(ALL, lane, 9);
  out[7 * 64] = __shfl_xor_sync(ALL, lane, 9, 8);
  out[8 * 64] = (int)__shfl_xor_sync(ALL, (double)lane, 1);
}
extern "C" __global__ void votes(unsigned* y) {
  bool odd = threadIdx.x % 2, *no = nullptr;
  unsigned* out = y + threadIdx.x;
  out[0 * 64] = __ballot_sync(ALL, odd);
  out[1 * 64] = __any_sync(ALL, threadIdx.x == 40);
  out[2 * 64] = __all_sync(ALL, threadIdx.x < 32);
  out[3 * 64] = __syncthreads_count(threadIdx.x < 5);
  out[4 * 64] = __syncthreads_or(threadIdx.x == 63) != 0;
  out[5 * 64] = __syncthreads_and(threadIdx.x != 63) != 0;
}
extern "C" __global__ void part_of_a_warp(float* y) {
  __shared__ float s[64];
  int lane = threadIdx.x % 32;
  if (lane < 8) {
    s[threadIdx.x] = lane;
    __syncwarp(0xff);
    y[threadIdx.x] = s[threadIdx.x ^ 1] + __shfl_xor_sync(0xff, (float)lane, 2);
  } else {
    y[threadIdx.x] = -1.f;
  }
}
extern "C" __global__ void some_return_early(float* y) {
  int lane = threadIdx.x % 32;
  if (lane >= 20) return;
  y[threadIdx.x] = __shfl_sync(ALL, (float)lane, (lane + 1) % 20);
}
extern "C" __global__ void atomics(unsigned* y, int* z, unsigned long long* total) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&y[0], i);
  atomicMax(&y[1], i);
  atomicOr(&y[2], 1u << i % 32);
  atomicMin(&z[0], -(int)i);
  atomicAdd(total, 1ull << 32);
  atomicCAS(&y[3], 0u, 7u);
}
extern "C" __global__ void bytes(unsigned char* y, const unsigned char* x, int n) {
  uchar4 four = reinterpret_cast<const uchar4*>(x)[threadIdx.x];
  y[4 * threadIdx.x + 0] = four.w;
  y[4 * threadIdx.x + 1] = four.z;
  y[4 * threadIdx.x + 2] = four.y;
  y[4 * threadIdx.x + 3] = four.x;
}
extern "C" __global__ void vectors(float* y, const float* x) {
  const float4 v = __ldg(reinterpret_cast<const float4*>(x) + threadIdx.x);
  auto scaled = [&](int k, float value) { return TABLE[k] * value; };
  reinterpret_cast<float2*>(y)[2 * threadIdx.x] = make_float2(scaled(0, v.x), scaled(1, v.y));
  reinterpret_cast<float2*>(y)[2 * threadIdx.x + 1] = make_float2(scaled(2, v.z), scaled(3, v.w));
}
extern "C" __global__ void functions(float* y, const float* x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float sine, cosine, v = x[i];
  sincospif(v, &sine, &cosine);
  float values[] = {expf(v),        __expf(v),     tanhf(v),       logf(fabsf(v)),  log1pf(fabsf(v)), rsqrtf(fabsf(v)),
                    sqrtf(fabsf(v)), fmaf(v, v, 1), fminf(v, 0.5f), fmaxf(v, 0.5f),  sine,             cosine,
                    expm1f(v),      erff(v),       powf(2.f, v),   truncf(v),       isnan(v) ? 1.f : 0.f,
                    isfinite(v) ? 1.f : 0.f};
  for (int k = 0; k < 18; ++k) y[k * n + i] = values[k];
}
extern "C" __global__ void integers(unsigned* y, unsigned a, int b, long long c, unsigned long long d,
                                    unsigned char e) {
  y[0] = __umulhi(a, a);
  y[1] = min(b, 3) + max(b, 3);
  y[2] = (unsigned)(c >> 32);
  y[3] = (unsigned)(d >> 60);
  y[4] = e;
  y[5] = __popc(a) + 100 * __clz(1) + 10000 * __ffs(8);
  y[6] = __float_as_uint(__uint_as_float(a));
}
extern "C" __global__ void product_of_tiles(float* c, const float* a, const float* b) {
  int group = threadIdx.x / 4, t = threadIdx.x % 4;
  float mine[4] = {1.f, 1.f, 1.f, 1.f}, left[4], right[2];
  for (int i = 0; i < 4; ++i) left[i] = emulated_tf32(a[(group + i % 2 * 8) * 8 + t + i / 2 * 4]);
  for (int i = 0; i < 2; ++i) right[i] = emulated_tf32(b[(t + i * 4) * 8 + group]);
#ifdef CUDA_ON_CPU
  emulated_mma_m16n8k8_tf32(mine, left, right);
#endif
  for (int i = 0; i < 4; ++i) c[(group + i / 2 * 8) * 8 + 2 * t + i % 2] = mine[i];
}
struct Piece {
  float* y;
  const float* x;
  const float* more;  // null if there is no more
  int n;
  unsigned char byte;
  float factor;
};
template <class T>
struct Many {
  T at[16];
  int count;
};
extern "C" __global__ void pieces(const __grid_constant__ Many<Piece> pieces, int threads) {
  for (int i = blockIdx.x; i < pieces.count; i += gridDim.x) {
    const Piece& piece = pieces.at[i];
    for (int k = threadIdx.x; k < piece.n; k += threads) {
      piece.y[k] = piece.factor * piece.x[k] + (piece.more ? piece.more[k] : piece.byte);
    }
  }
}
extern "C" __global__ void indices(int* y, int n) {
  dim3 b = blockDim, g = gridDim;
  int block = (blockIdx.z * g.y + blockIdx.y) * g.x + blockIdx.x;
  int thread = (threadIdx.z * b.y + threadIdx.y) * b.x + threadIdx.x;
  int i = block * (b.x * b.y * b.z) + thread;
  if (i < n) y[i] = ((blockIdx.z * 10 + blockIdx.y) * 10 + blockIdx.x) * 1000 +
                    (threadIdx.z * 10 + threadIdx.y) * 10 + threadIdx.x;
}
""",
)


@pytest.fixture(params=[(check, order) for check in (True, False) for order in ORDERS], ids=str)
def emulator(request):
    return Emulator(check=request.param[0], order=request.param[1], seed=5)


def place(emulator, array):
    array = np.asarray(array)
    placed = emulator.empty(array.shape, array.dtype)
    emulator.upload(placed, array)
    return placed


def test_matmul(emulator, rng):
    N = 19
    a, b = rng.standard_normal((2, N, N)).astype("float32")
    c = emulator.empty((N, N), "float32")
    RIGHT.launch("matmul", (3, 3), (8, 8), c, place(emulator, a), place(emulator, b), N)
    np.testing.assert_allclose(emulator.download(c), a.astype(float) @ b, rtol=0, atol=1e-5)


def test_the_last_block_may_read_what_others_have_fenced(emulator, rng):
    x = rng.standard_normal(200).astype("float32")
    y, partial, counter = emulator.empty((1,), "float32"), emulator.empty((4,), "float32"), zeros(emulator, 1, "uint32")
    for _ in range(2):
        RIGHT.launch("last_block", 4, 64, y, place(emulator, x), partial, counter, 200, shared=4 * 64)
        np.testing.assert_allclose(emulator.download(y), x.sum(dtype=float), rtol=1e-5)


def test_structs(emulator, rng):
    x, more = rng.standard_normal((2, 6, 40)).astype("float32")
    y, x_there, more_there = emulator.empty((6, 40), "float32"), place(emulator, x), place(emulator, more)
    pieces = [
        {
            "y": y[i],
            "x": x_there[i],
            "more": more_there[i] if i % 2 else None,
            "n": 40,
            "byte": 250 + i,
            "factor": i / 2,
        }
        for i in range(6)
    ]
    pieces[4]["x"] = y[0]  # written by the same thread, which does piece 0 before
    RIGHT.launch("pieces", 2, 32, pieces, 32)
    x[4] = 250
    factor = np.arange(6, dtype="float32")[:, None] / 2
    rest = np.where(np.arange(6)[:, None] % 2, more, np.float32(250 + np.arange(6)[:, None]))
    np.testing.assert_array_equal(emulator.download(y), factor * x + rest)


def test_shuffles(emulator):
    y = emulator.empty((9, 64), "int32")
    RIGHT.launch("shuffles", 1, 64, y)
    lane = np.arange(64) % 32
    inside = lane % 8
    expected = [
        np.full(64, 5),
        lane - inside + 5,
        np.where(lane + 3 < 32, lane + 3, lane),
        np.where(inside + 3 < 8, lane + 3, lane),
        np.where(lane >= 3, lane - 3, lane),
        np.where(inside >= 3, lane - 3, lane),
        lane ^ 9,
        np.where((lane ^ 9) // 8 <= lane // 8, lane ^ 9, lane),
        lane ^ 1,
    ]
    np.testing.assert_array_equal(emulator.download(y), expected)


def test_votes(emulator):
    y = emulator.empty((6, 64), "uint32")
    RIGHT.launch("votes", 1, 64, y)
    second = np.arange(64) >= 32
    expected = [np.full(64, 0xAAAAAAAA), second, ~second, np.full(64, 5), np.full(64, 1), np.full(64, 0)]
    np.testing.assert_array_equal(emulator.download(y), expected)


def test_part_of_a_warp(emulator):
    y = emulator.empty((64,), "float32")
    RIGHT.launch("part_of_a_warp", 1, 64, y)
    lane = np.arange(64) % 32
    np.testing.assert_array_equal(emulator.download(y), np.where(lane < 8, (lane ^ 1) + (lane ^ 2), -1))


def test_lanes_that_have_returned_are_not_waited_for(emulator):
    y = zeros(emulator, 64)
    RIGHT.launch("some_return_early", 1, 64, y)
    lane = np.arange(64) % 32
    np.testing.assert_array_equal(emulator.download(y), np.where(lane < 20, (lane + 1) % 20, 0))


def test_atomics(emulator):
    y, z, total = (zeros(emulator, n, dtype) for n, dtype in ((4, "uint32"), (1, "int32"), (1, "uint64")))
    RIGHT.launch("atomics", 3, 40, y, z, total)
    assert emulator.download(y).tolist() == [119 * 120 // 2, 119, 0xFFFFFFFF, 7]
    assert emulator.download(z).tolist() == [-119]
    assert emulator.download(total).tolist() == [120 << 32]


def test_bytes_and_vectors(emulator, rng):
    x = rng.integers(0, 256, (32, 4)).astype("uint8")
    y = emulator.empty((32, 4), "uint8")
    RIGHT.launch("bytes", 1, 32, y, place(emulator, x), 32)
    np.testing.assert_array_equal(emulator.download(y), x[:, ::-1])
    x = rng.standard_normal((32, 4)).astype("float32")
    y = emulator.empty((32, 4), "float32")
    RIGHT.launch("vectors", 1, 32, y, place(emulator, x))
    np.testing.assert_array_equal(emulator.download(y), x * np.float32([1, 2, 4, 8]))


def test_functions(emulator):
    x = np.array([-2.25, -0.5, 0.125, 0.75, 1.5, 3.0, np.nan], "float32")
    y = emulator.empty((18, 7), "float32")
    RIGHT.launch("functions", 1, 32, y, place(emulator, x), 7)
    v, size = x.astype(float), np.abs(x.astype(float))
    erf = [-0.9985372834133188, -0.5204998778130465, 0.1403162048013338, 0.7111556336535151, 0.9661051464753108,
           0.9999779095030014, np.nan]  # fmt: skip
    expected = [
        np.exp(v), np.exp(v), np.tanh(v), np.log(size), np.log1p(size), size**-0.5, size**0.5, v * v + 1,
        np.fmin(v, 0.5), np.fmax(v, 0.5), np.sin(np.pi * v), np.cos(np.pi * v), np.expm1(v), erf, 2**v,
        np.trunc(v), np.isnan(v), np.isfinite(v),
    ]  # fmt: skip
    np.testing.assert_allclose(emulator.download(y), expected, rtol=2e-7, atol=1e-7)


def test_integers(emulator):
    y = emulator.empty((7,), "uint32")
    a = 0xDEADBEEF
    RIGHT.launch("integers", 1, 1, y, a, -5, 3 << 32, 15 << 60, 200)
    expected = [a * a >> 32, 2**32 - 2, 3, 15, 200, a.bit_count() + 3100 + 40000, a]
    assert emulator.download(y).tolist() == expected


def test_product_of_tiles(emulator, rng):
    a, b = rng.standard_normal((16, 8)).astype("float32"), rng.standard_normal((8, 8)).astype("float32")
    c = emulator.empty((16, 8), "float32")
    RIGHT.launch("product_of_tiles", 1, 32, c, place(emulator, a), place(emulator, b))
    error = np.abs(emulator.download(c) - (a.astype(float) @ b + 1)).max()
    assert 1e-5 < error < 1e-2  # ten bits of mantissa, not twenty-three
    ties = np.float32([1 + 2**-11, 1 + 2**-11 - 2**-23, -1 - 2**-11, 1 + 3 * 2**-11])
    a[:4, 0] = ties
    RIGHT.launch("product_of_tiles", 1, 32, c, place(emulator, a), place(emulator, np.eye(8, dtype="float32")))
    assert (emulator.download(c)[:4, 0] - 1).tolist() == [1 + 2**-10, 1, -1 - 2**-10, 1 + 2**-9]
    exact = rng.integers(-8, 8, (2, 16, 8)).astype("float32")
    RIGHT.launch("product_of_tiles", 1, 32, c, place(emulator, exact[0]), place(emulator, exact[1, :8]))
    np.testing.assert_array_equal(emulator.download(c), exact[0] @ exact[1, :8] + 1)


def test_indices_in_three_dimensions(emulator):
    y = emulator.empty((2 * 3 * 4 * 5 * 2 * 3,), "int32")
    RIGHT.launch("indices", (2, 3, 4), (5, 2, 3), y, y.size)
    expected = [
        ((bz * 10 + by) * 10 + bx) * 1000 + (tz * 10 + ty) * 10 + tx
        for bz in range(4) for by in range(3) for bx in range(2)
        for tz in range(3) for ty in range(2) for tx in range(5)
    ]  # fmt: skip
    assert emulator.download(y).tolist() == expected


# ---- mutations ------------------------------------------------------------------------------------------------------
MATMUL = RIGHT.text[: RIGHT.text.index("// Each block")]
BARRIERS = [match.start() for match in re.finditer(r"__syncthreads\(\);", MATMUL)]


@pytest.mark.parametrize("barrier", range(2))
def test_no_barrier_of_the_matmul_can_be_left_out(barrier, rng):
    assert len(BARRIERS) == 2
    start = BARRIERS[barrier]
    mutant = Source.of_text("mutant", MATMUL[:start] + MATMUL[start:].replace("__syncthreads();", "", 1))
    for order in ORDERS:
        emulator = Emulator(order=order)
        c, a, b = (place(emulator, matrix) for matrix in rng.standard_normal((3, 19, 19)).astype("float32"))
        with pytest.raises(KernelError, match=r"race|no thread of the block has written"):
            mutant.launch("matmul", (3, 3), (8, 8), c, a, b, 19)


# ---- races: the verdict on random programs is that of the definition -------------------------------------------------
# Four threads, two of each of two warps, in each of two blocks do what a script says, step by step: nothing, or read,
# write or atomically add to one of three cells. After a step the warps or the block may meet.
SCRIPTED = Source.of_text(
    "scripted",
    r"""
extern "C" __global__ void run(unsigned* cells, unsigned* sink, const int* script, const int* syncs, int steps) {
  int thread = threadIdx.x, actor = thread % 32 < 2 ? thread / 32 * 2 + thread % 32 : -1;
  unsigned sum = 0;
  for (int step = 0; step < steps; ++step) {
    int action = actor < 0 ? 0 : script[(blockIdx.x * steps + step) * 4 + actor], cell = action / 4;
    if (action % 4 == 1) sum += cells[cell];
    if (action % 4 == 2) cells[cell] = step;
    if (action % 4 == 3) atomicAdd(&cells[cell], 1u);
    if (syncs[step] == 1) __syncwarp();
    if (syncs[step] == 2) __syncthreads();
  }
  sink[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
""",
)
READ, ATOMIC = 1, 3


def has_race(script, syncs):
    """Whether two accesses to a cell, one of them a write and not both atomic, have nothing that orders them."""
    blocks, steps, actors = script.shape
    accesses = [
        (block, step, actor, *divmod(int(script[block, step, actor]), 4))
        for block in range(blocks)
        for step in range(steps)
        for actor in range(actors)
        if script[block, step, actor] % 4
    ]
    for block, step, actor, cell, kind in accesses:
        for other_block, other_step, other, other_cell, other_kind in accesses:
            harmless = kind == other_kind == READ or kind == other_kind == ATOMIC
            if harmless or cell != other_cell or (block, actor) == (other_block, other):
                continue
            between = syncs[min(step, other_step) : max(step, other_step)]
            same_warp = actor // 2 == other // 2
            if block != other_block or not (2 in between or (same_warp and 1 in between)):
                return True
    return False


@pytest.mark.parametrize("order", ORDERS)
def test_races_are_found_exactly_where_there_are_some(order):
    rng = np.random.default_rng(ORDERS.index(order))
    emulator = Emulator(order=order, seed=1)
    verdicts = []
    for _ in range(400):
        steps, density = int(rng.integers(2, 7)), rng.choice([0.15, 0.3, 0.5])
        script = rng.integers(0, 12, (2, steps, 4)) * (rng.random((2, steps, 4)) < density)
        script[1] *= rng.random() < 0.5  # a second block that does anything mostly races
        syncs = rng.integers(0, 3, steps)
        sizes = {"cells": 3, "sink": 2 * 64}
        cells, sink = (zeros(emulator, size, "uint32") for size in sizes.values())
        script_, syncs_ = place(emulator, script.astype("int32")), place(emulator, syncs.astype("int32"))
        try:
            SCRIPTED.launch("run", 2, 64, cells, sink, script_, syncs_, steps)
            found = ""
        except KernelError as error:
            found = str(error)
            assert "race: " in found
        assert bool(found) == has_race(script, syncs), (found, script.tolist(), syncs.tolist())
        verdicts.append(bool(found))
    assert 100 < sum(verdicts) < 300  # of both kinds enough


def test_a_read_by_another_block_is_not_forgotten():
    script = np.zeros((2, 4, 4), "int32")
    script[0, 0, 1] = READ
    script[1, 1, 2] = script[1, 2, 0] = READ  # by both warps, before a barrier that orders them with the atomic
    script[1, 3, 3] = ATOMIC
    syncs = np.array([0, 0, 2, 0], "int32")
    emulator = Emulator()
    arguments = (
        zeros(emulator, 3, "uint32"),
        zeros(emulator, 128, "uint32"),
        place(emulator, script),
        place(emulator, syncs),
    )
    with pytest.raises(
        KernelError, match=r"race: writes cells at byte 0, which block \(0, 0, 0\), thread \(1, 0, 0\) has"
    ):
        SCRIPTED.launch("run", 2, 64, *arguments, 4)


# ---- what g++ refuses -----------------------------------------------------------------------------------------------
def test_float_atomics_do_not_compile():
    source = Source.of_text(
        "sums", 'extern "C" __global__ void sum(float* y, const float* x) {\n  atomicAdd(y, x[threadIdx.x]);\n}\n'
    )
    emulator = Emulator()
    with pytest.raises(RuntimeError, match="a float atomic adds in another order") as error:
        source.launch("sum", 1, 32, zeros(emulator, 1), zeros(emulator, 32))
    assert "sums.cu:2" in str(error.value)


# ---- what accesses cost ---------------------------------------------------------------------------------------------
PROFILED = Source.of_text(
    "profiled",
    r"""
extern "C" __global__ void walk(float* y, const float* x) {
  __shared__ float rows[32][32], padded[32][33];
  __shared__ float4 fours[32], columns[64];
  int t = threadIdx.x;
  rows[t][0] = x[t];                                  // ! column, coalesced
  padded[t][0] = x[32 * t];                           // ! padded column, strided
  rows[0][t] = x[0];                                  // ! row, one for all
  fours[t] = reinterpret_cast<const float4*>(x)[t];   // ! row of vectors, vectors
  columns[t % 8 * 8 + t / 8] = fours[t];              // ! column of vectors
  __syncthreads();
  float sum = columns[t].x + padded[t][0] + rows[0][t] + fours[t].x;
  if (t < 8) {
    y[t] = sum;                                       // ! a quarter
  }
}
""",
)


def test_profile():
    emulator = Emulator(check=False, profile=True)
    for _ in range(2):
        PROFILED.launch("walk", 3, 32, zeros(emulator, 8), zeros(emulator, 1024))
    rows = {(row.place, row.memory, row.access): row for row in emulator.profile()}
    expected = {  # bytes of a lane; sectors or turns for each request, and what it would be with lanes side by side
        ("column, coalesced", "global", "read"): (4, 4, 4),
        ("column, coalesced", "shared", "write"): (4, 32, 1),
        ("padded column, strided", "global", "read"): (4, 32, 4),
        ("padded column, strided", "shared", "write"): (4, 1, 1),
        ("row, one for all", "global", "read"): (4, 1, 4),
        ("row, one for all", "shared", "write"): (4, 1, 1),
        ("row of vectors, vectors", "global", "read"): (16, 16, 16),
        ("row of vectors, vectors", "shared", "write"): (16, 4, 4),
        ("column of vectors", "shared", "read"): (16, 4, 4),
        ("column of vectors", "shared", "write"): (16, 32, 4),
        ("a quarter", "global", "write"): (4, 1, 1),
    }
    found = {key: rows[line_of(PROFILED, key[0]), *key[1:]] for key in expected}
    assert {key: (row.bytes, row.per_request, row.ideal) for key, row in found.items()} == expected
    assert {row.requests for row in found.values()} == {2 * 3}
    table = emulator.format_profile().split("\n")
    assert len(table) == 1 + len(rows)
    assert any(re.match(r"walk +profiled.cu:7 +global +read +4 +6 +32.00 +4.00$", line) for line in table), table


# ---- the machine ----------------------------------------------------------------------------------------------------
def test_upload_and_download():
    emulator = Emulator()
    array = emulator.empty((2, 3), "float32")
    assert np.isnan(emulator.download(array)).all()
    emulator.upload(array, np.arange(6).reshape(2, 3))
    copy = emulator.download(array)
    copy[...] = 0
    assert emulator.download(array).tolist() == [[0, 1, 2], [3, 4, 5]]
    emulator.upload(array, 7)
    assert (emulator.download(array) == 7).all()
    emulator.upload(array[:, 1], np.array([8, 9]))
    assert emulator.download(array).tolist() == [[7, 8, 7], [7, 9, 7]]
    with pytest.raises(ValueError, match=r"of shape \(3,\) cannot be uploaded"):
        emulator.upload(array, np.zeros(3))
    with pytest.raises(TypeError, match="not a list"):
        emulator.upload(array, [[0] * 3] * 2)


def test_memory_is_aligned():
    emulator = Emulator()
    assert {emulator.empty((3,), "uint8").addresses[0] % 64 for _ in range(20)} == {0}


def test_what_a_kernel_has_written_may_be_read_and_what_is_uploaded_in_part_only_there():
    emulator = Emulator()
    y = emulator.empty((32,), "float32")
    WRONG.launch("bounded", 1, 32, y)
    WRONG.launch("unwritten", 1, 32, y)
    assert (emulator.download(y) == 2).all()
    half = emulator.empty((32,), "float32")
    half[:16] = 1
    WRONG.launch("unwritten", 1, 16, half)
    with pytest.raises(KernelError, match="reads y at byte 64, which nothing has written"):
        WRONG.launch("unwritten", 1, 32, half)


def test_scratch_forgets():
    emulator = Emulator()
    scratch = emulator.scratch(40)
    emulator.upload(scratch, 1)
    other = emulator.scratch(40, which=1)
    assert scratch.addresses[0] != other.addresses[0]
    again = emulator.scratch(32)
    assert again.shape == (32,)
    assert np.isnan(emulator.download(again)).all()
    with pytest.raises(KernelError, match="nothing has written"):
        WRONG.launch("unwritten", 1, 32, again)


def test_arrays_of_others_are_refused():
    emulator, other = Emulator(), Emulator()
    mine, foreign = zeros(emulator, 32), zeros(other, 32)
    with pytest.raises(TypeError, match="an array of another machine"):
        WRONG.launch("unchecked", 1, 32, mine, foreign)
    with pytest.raises(TypeError, match="an array of another machine"):
        emulator.download(foreign)
    with pytest.raises(TypeError, match="got a ndarray"):
        emulator.upload(np.zeros(3), 0)


def test_launches_are_counted():
    emulator = Emulator()
    y = zeros(emulator, 32)
    for kernel in ("bounded", "unwritten", "bounded"):
        WRONG.launch(kernel, 1, 32, y)
    assert emulator.launches == {"fill": 1, "bounded": 2, "unwritten": 1}  # a number is written by a kernel, too


def test_orders():
    def last_writers(order, seed=0):
        emulator = Emulator(check=False, order=order, seed=seed)
        y = zeros(emulator, 1)
        return [WRONG.launch("same_element", 1, 32, y) or float(emulator.download(y)[0]) for _ in range(8)]

    assert last_writers("forward") == [31] * 8
    assert last_writers("reverse") == [0] * 8
    assert last_writers("random", 1) == last_writers("random", 1) != last_writers("random", 2)
    assert len({*last_writers("random")}) > 4


def test_orders_have_names():
    with pytest.raises(ValueError, match="order='upwards'; expected one of 'forward', 'reverse', 'random'"):
        Emulator(order="upwards")


def test_describe_and_warm_up(monkeypatch):
    monkeypatch.setattr(machine.launcher, "sources", lambda: [WRONG, RIGHT])
    said = []
    Emulator().warm_up(said.append)
    assert said == ["1 of 2: wrong.cu", "2 of 2: right.cu"]
    assert re.match(
        r"CUDA kernels on the processor, by g\+\+ \d+\.\d+\.\d+, every access checked;", Emulator().describe()
    )
    assert ", no checks;" in Emulator(check=False).describe()


# ---- arrays ---------------------------------------------------------------------------------------------------------
def test_an_array_has_the_attributes_of_an_ndarray():
    array = Emulator().empty((2, 3, 4), "float32")
    assert (array.shape, array.dtype, array.ndim, array.size, array.nbytes) == ((2, 3, 4), np.float32, 3, 24, 96)
    assert len(array) == 2
    assert array.flags.c_contiguous
    assert repr(array) == "<emulated array of float32, shape (2, 3, 4)>"


def test_views_share_memory():
    emulator = Emulator()
    array = zeros(emulator, (2, 3, 4))
    for view in (array[1], array[..., 0], array[0, 1:, 2], array[-1, -1, -1], array.reshape(4, 6), array.reshape(-1)):
        assert isinstance(view, Array)
        assert view.machine is emulator
        emulator.upload(array, 0)
        emulator.upload(view, 1)
        assert emulator.download(array).sum() == view.size
    assert array[0, 0, 0].shape == ()
    assert not array[:, :2].flags.c_contiguous
    memory = emulator.empty((16,), "uint8")
    assert memory[:8].view("float32").reshape(2, 1).shape == (2, 1)
    assert memory.view(np.float64).size == 2
    with pytest.raises(ValueError, match="reshape would copy it"):
        array[:, :2].reshape(-1)


def test_a_number_may_be_assigned():
    emulator = Emulator()
    array = zeros(emulator, (2, 3))
    array[...] = 2
    array[1, 0] = np.float32(5)
    assert emulator.download(array).tolist() == [[2, 2, 2], [5, 2, 2]]
    for value in (np.ones(3), [1, 2, 3], array[0]):
        with pytest.raises(TypeError, match=r"only a number can be assigned .*machine.upload"):
            array[1] = value


@pytest.mark.parametrize(
    "use",
    [
        np.asarray, np.sum, float, int, bool, list, sum, lambda a: a + 1, lambda a: 1 - a, lambda a: a == a,
        lambda a: a @ a, lambda a: np.ones(1) * a, lambda a: -a, lambda a: a < 0, lambda a: 1.0 in a, np.isnan,
        lambda a: np.copyto(np.zeros(1), a), lambda a: np.ones(3)[a],
    ],
)  # fmt: skip
def test_an_array_gives_nothing_away(use):
    array = zeros(Emulator(), 1)
    with pytest.raises(TypeError, match=r"use machine\.download|ufunc"):
        use(array)


def test_an_array_is_no_host_memory_to_others():
    array = zeros(Emulator(), 1)
    assert not hasattr(array, "__cuda_array_interface__")
    assert not hasattr(array, "__array_interface__")
    with pytest.raises(TypeError):
        memoryview(array)
    with pytest.raises(TypeError):
        hash(array)
    for index in ([0], np.array([0]), None, np.array([True])):
        with pytest.raises(TypeError, match="as an index would copy"):
            array[index]


# ---- compiler and cache ---------------------------------------------------------------------------------------------
def test_without_a_compiler_the_reason_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert unavailable().startswith("the emulator needs g++, which is not on the PATH: install it")
    with pytest.raises(RuntimeError, match="needs g\\+\\+, which is not on the PATH"):
        Emulator()


def test_the_cache_is_where_the_variable_says_or_among_temporary_files(monkeypatch, tmp_path):
    folder = build.cache_folder.__wrapped__
    monkeypatch.setenv("SCRATCHAE_CUDA_CACHE", str(tmp_path / "a" / "b"))
    assert folder() == tmp_path / "a" / "b"
    (tmp_path / "file").touch()
    monkeypatch.setenv("SCRATCHAE_CUDA_CACHE", str(tmp_path / "file" / "b"))
    monkeypatch.setattr(build.tempfile, "gettempdir", lambda: str(tmp_path))
    assert folder() == tmp_path / f"scratchae-{os.getuid()}"


def test_a_library_is_made_once_and_appears_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "cache_folder", lambda: tmp_path)
    made = []

    def make(target):
        made.append(target)
        with target.open("w") as file:
            for _ in range(1000):
                file.write("x" * 100)
                file.flush()

    def size(_):
        return build.library("some", ["text"], make).stat().st_size

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(size, range(8))) == {100_000}
    assert len({target.parent for target in made}) == len(made)
    before = len(made)
    assert size(0) == 100_000
    assert len(made) == before
    build.library("some", ["another text"], make)
    assert len(made) == before + 1
    assert len(list(tmp_path.iterdir())) == 2


def test_libraries_that_nobody_uses_are_removed(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "cache_folder", lambda: tmp_path)
    old, new = build.library("old", [], Path.touch), build.library("new", [], Path.touch)
    long_ago = old.stat().st_mtime - 2 * build.KEPT
    os.utime(old, (long_ago, long_ago))
    build.library("third", [], Path.touch)
    assert not old.exists()
    assert new.exists()


FIBERS = """
#include "fibers.h"
#include <cstdio>
int turns[3];
int current;
void body() {
  double kept = current;
  for (int i = 0; i < 3; ++i) {
    turns[current] += 1 + (kept == current);
    emulator::leave_fiber();
  }
  turns[current] += 100;
  emulator::leave_fiber();
}
int main() {
  for (int i = 0; i < 3; ++i) emulator::make_fiber(i, body);
  for (int k = 0; k < 4; ++k) for (current = 2; current >= 0; --current) emulator::enter_fiber(current);
  printf("%d %d %d", turns[0], turns[1], turns[2]);
}
"""


@pytest.mark.parametrize("flags", [[], ["-DEMULATOR_UCONTEXT"]], ids=["own switch", "ucontext"])
def test_fibers(flags, tmp_path):
    program = tmp_path / "program"
    command = ["g++", "-std=c++17", "-O1", *flags, f"-I{build.HERE}", str(build.HERE / "fibers.cpp")]
    subprocess.run([*command, "-x", "c++", "-", "-o", str(program)], input=FIBERS, text=True, check=True)
    assert subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout == "106 106 106"
