// What a compiled kernel and the runtime know of each other.
#pragma once
#include <cstdint>

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};

namespace emulator {

// What the lanes of a warp do together.
enum class Warp : int { sync, shuffle, ballot, multiply };

// One lane's share of a tensor core's product c += a b, in mma.sync.m16n8k8's layout.
struct Fragments {
  float* c;
  const float *a, *b;
};

struct Launch;  // a launch as Python describes it: runtime.h

using Kernel = void (*)(const uint64_t* arguments);  // each argument in eight bytes

}  // namespace emulator

extern "C" {
// A thread never sees its own indices change, so the compiler may ask once and keep the answer. They are functions
// because the checker would be called for variables.
__attribute__((const)) uint3 emulator_thread();
__attribute__((const)) uint3 emulator_block();
__attribute__((const)) dim3 emulator_block_size();
__attribute__((const)) dim3 emulator_grid_size();
__attribute__((const)) unsigned emulator_lane();

int emulator_barrier(bool vote, const char* file, int line);  // how many threads of the block voted yes
uint64_t emulator_warp(emulator::Warp operation, unsigned mask, uint64_t value, int source, const char* file, int line);
void emulator_atomic(void* address, int bytes, void* caller);
void emulator_fence();
char* emulator_dynamic_shared();
int emulator_launch(const emulator::Launch* launch, emulator::Kernel kernel);
}
