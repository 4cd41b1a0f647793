// Runs the blocks of a launch one after another, and the threads of a block in turns.
//
// A thread runs until it has to wait for others: at a barrier for its block, at a shuffle for lanes of its warp. When
// nobody can go on, all must stand at the same barrier, and anything else is a mistake of the kernel's. The order of
// blocks, and of threads between barriers, is what the launch asks for: a correct kernel does not depend on it.
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <vector>

#include "fibers.h"
#include "runtime.h"

namespace emulator {

Run run;

namespace {

enum class State : uint8_t { ready, at_barrier, at_warp, returned };

struct Thread {
  int fiber = -1;  // none before it has begun
  State state;
  bool vote;  // at a barrier
  // at a warp operation:
  Warp operation;
  unsigned mask;
  int source;      // lane
  uint64_t value;  // what it shows to the others, and then what it gets
  // where it waits:
  const char* file;
  int line;
};

constexpr uint64_t NOTHING = 0x7fc0dead7fc0dead;  // what a shuffle brings from an absent lane: NaN, or absurd
constexpr size_t MOST_SHARED = 256 << 10;

Thread threads[MOST_THREADS];
uint3 indices[MOST_THREADS];  // within the block
uint3 block_index;
int waiting[MOST_THREADS / WARP];  // lanes of each warp that are at a warp operation
int alive;                         // threads of the block that have not returned
int votes;                         // at the last barrier
std::vector<int> free_fibers;
bool failed;
Finding finding;
uint64_t random_state;
alignas(128) char dynamic_shared[MOST_SHARED];

int first_of_warp(int thread) { return thread & -WARP; }
int end_of_warp(int thread) { return std::min(first_of_warp(thread) + WARP, run.threads); }

uint3 split(uint64_t number, const unsigned (&size)[3]) {
  return {unsigned(number % size[0]), unsigned(number / size[0] % size[1]), unsigned(number / size[0] / size[1])};
}

// ---- order ----------------------------------------------------------------------------------------------------------
uint64_t next_random() {  // Marsaglia 2003, xorshift64
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  return random_state ^= random_state << 17;
}

void arrange(std::vector<int>& numbers) {
  if (!std::is_sorted(numbers.begin(), numbers.end())) std::sort(numbers.begin(), numbers.end());
  if (run.launch->order == REVERSE) std::reverse(numbers.begin(), numbers.end());
  if (run.launch->order == RANDOM) {
    for (size_t i = numbers.size(); i > 1; --i) std::swap(numbers[i - 1], numbers[next_random() % i]);
  }
}

// ---- failures -------------------------------------------------------------------------------------------------------
void record(int thread, const char* what, va_list details) {
  failed = true;
  finding = {};
  vsnprintf(finding.what, sizeof finding.what, what, details);
  finding.block = block_index;
  finding.thread = indices[thread];
}

// For the scheduler itself: a thread that waits in vain.
__attribute__((format(printf, 2, 3))) void fail_waiting(int thread, const char* what, ...) {
  va_list details;
  va_start(details, what);
  record(thread, what, details);
  va_end(details);
  finding.file = threads[thread].file;
  finding.line = threads[thread].line;
}

// ---- warps ----------------------------------------------------------------------------------------------------------
bool same_place(const Thread& a, const Thread& b) {
  return a.line == b.line && (a.file == b.file || !strcmp(a.file, b.file));
}

bool together(const Thread& a, const Thread& b) {
  return b.state == State::at_warp && a.operation == b.operation && a.mask == b.mask && same_place(a, b);
}

// mma.m16n8k8: lane 4 g + t has a[g, t], a[g + 8, t], a[g, t + 4], a[g + 8, t + 4], b[t, g], b[t + 4, g], and c in the
// rows g and g + 8, the columns 2 t and 2 t + 1. Only 19 bits of each input are looked at.
void multiply(Thread* lanes) {
  auto cut = [](float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= 0xffffe000u;
    memcpy(&x, &bits, sizeof bits);
    return x;
  };
  float a[16][8], b[8][8];
  for (int lane = 0; lane < WARP; ++lane) {
    const Fragments& of_lane = *reinterpret_cast<const Fragments*>(lanes[lane].value);
    int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][t + i / 2 * 4] = cut(of_lane.a[i]);
    for (int i = 0; i < 2; ++i) b[t + i * 4][g] = cut(of_lane.b[i]);
  }
  for (int lane = 0; lane < WARP; ++lane) {
    const Fragments& of_lane = *reinterpret_cast<const Fragments*>(lanes[lane].value);
    int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      for (int k = 0; k < 8; ++k) of_lane.c[i] += a[g + i / 2 * 8][k] * b[k][2 * t + i % 2];
    }
  }
}

// What each lane of an operation gets. `present` are the lanes that take part.
void exchange(Thread* lanes, Warp operation, unsigned present) {
  uint64_t shown[WARP], ballot = 0;
  for (int lane = 0; lane < WARP; ++lane) {
    if (!(present >> lane & 1)) continue;
    shown[lane] = lanes[lane].value;
    ballot |= uint64_t(shown[lane] & 1) << lane;
  }
  for (int lane = 0; lane < WARP; ++lane) {
    if (!(present >> lane & 1)) continue;
    int source = lanes[lane].source;
    if (operation == Warp::ballot) lanes[lane].value = ballot;
    if (operation == Warp::shuffle) lanes[lane].value = present >> source & 1 ? shown[source] : NOTHING;
  }
}

// __syncwarp orders what its lanes do in memory. Shuffles and votes do not.
void order_memory(int first, unsigned present, bool all) {
  run.clock += TICK;
  if (all) {
    run.warp_sync[first / WARP] = run.clock;
    return;
  }
  for (int lane = 0; lane < WARP; ++lane) {
    if (!(present >> lane & 1)) continue;
    run.part_sync[first + lane] = run.clock;
    run.part_mask[first + lane] = present;
  }
}

// A lane without which this thread cannot go on, because it is elsewhere; -1 if none is missing.
int missing_lane(int thread) {
  const Thread& self = threads[thread];
  for (int other = first_of_warp(thread); other < end_of_warp(thread); ++other) {
    bool expected = self.mask >> other % WARP & 1 && threads[other].state != State::returned;
    if (expected && !together(self, threads[other])) return other;
  }
  return -1;
}

// Lets the lanes that wait with this thread go on, if none is missing.
void try_warp(int thread, std::vector<int>& ready) {
  const Thread& self = threads[thread];
  if (!(self.mask >> thread % WARP & 1)) {
    fail_waiting(thread, "lane %d is not in the mask %#x that it gives", thread % WARP, self.mask);
    return;
  }
  if (missing_lane(thread) >= 0) return;
  int first = first_of_warp(thread);
  unsigned living = 0;
  for (int other = first; other < end_of_warp(thread); ++other) {
    if (threads[other].state != State::returned) living |= 1u << other % WARP;
  }
  unsigned present = living & self.mask;
  if (self.operation == Warp::multiply && present != ~0u) {
    fail_waiting(thread, "a product of matrices needs all 32 lanes; %d are here", __builtin_popcount(present));
    return;
  }
  if (self.operation == Warp::multiply) multiply(threads + first);
  if (self.operation == Warp::shuffle || self.operation == Warp::ballot) {
    exchange(threads + first, self.operation, present);
  }
  if (self.operation == Warp::sync) order_memory(first, present, present == living);
  for (int lane = 0; lane < WARP; ++lane) {
    if (!(present >> lane & 1)) continue;
    threads[first + lane].state = State::ready;
    --waiting[first / WARP];
    ready.push_back(first + lane);
  }
}

// A thread that returns may be the last that lanes of its warp have waited for.
void try_warp_of_returned(int thread, std::vector<int>& ready) {
  if (!waiting[thread / WARP]) return;
  for (int other = first_of_warp(thread); other < end_of_warp(thread) && !failed; ++other) {
    if (threads[other].state == State::at_warp) try_warp(other, ready);
  }
}

// ---- threads --------------------------------------------------------------------------------------------------------
// A round: every thread that is ready runs until it waits or returns.
std::vector<int> round, next_round;
size_t position;  // in the round, of the thread that runs

void set_current(int thread) {
  run.current = thread;
  run.now = run.clock | Time(thread);
}

// After the running thread has returned, on its fiber: if the next one has not begun it takes over the fiber, which
// saves two switches. Of a kernel without barriers all threads run on one fiber.
bool begin_another() {
  int thread = round[position];
  threads[thread].state = State::returned;
  --alive;
  try_warp_of_returned(thread, next_round);
  if (failed || position + 1 == round.size() || threads[round[position + 1]].fiber >= 0) return false;
  ++position;
  std::swap(threads[round[position]].fiber, threads[thread].fiber);
  set_current(round[position]);
  return true;
}

void body_of_fiber() {
  do run.kernel(run.launch->values);
  while (begin_another());
  leave_fiber();
  __builtin_unreachable();
}

// Runs a thread until it waits or returns, and then perhaps others that have not begun.
void resume() {
  int thread = round[position];
  if (threads[thread].fiber < 0) {
    threads[thread].fiber = free_fibers.back();  // the one used last, which is in the cache
    free_fibers.pop_back();
    make_fiber(threads[thread].fiber, body_of_fiber);
  }
  set_current(thread);
  enter_fiber(threads[thread].fiber);
  Thread& left = threads[round[position]];
  if (left.state == State::returned) {
    free_fibers.push_back(left.fiber);
    left.fiber = -1;
  } else if (left.state == State::at_warp) {
    ++waiting[round[position] / WARP];
    try_warp(round[position], next_round);
  }
}

// ---- blocks ---------------------------------------------------------------------------------------------------------
// A thread that this one waits for, but that waits elsewhere; -1 if it waits at a barrier like the first.
int waits_in_vain_for(int thread, int first) {
  if (threads[thread].state == State::at_warp) return missing_lane(thread);
  return same_place(threads[thread], threads[first]) ? -1 : first;
}

// Nobody can go on. If that is not because all have come to one barrier, says who waits in vain.
bool all_at_one_barrier() {
  int first = 0;
  while (threads[first].state == State::returned) ++first;
  for (int thread = first; thread < run.threads; ++thread) {
    if (threads[thread].state == State::returned) continue;
    int missed = waits_in_vain_for(thread, first);
    if (missed < 0) continue;
    const Thread& other = threads[missed];
    const char* where = other.state == State::at_warp ? "with its warp" : "at the barrier";
    char text[96];
    describe_thread(text, sizeof text, run.block, missed);
    fail_waiting(thread, "waits in vain for %s, which waits %s of %s:%d", text, where, other.file, other.line);
    return false;
  }
  if (alive < run.threads) {
    fail_waiting(first, "%d of %d threads wait at this barrier; the others have returned", alive, run.threads);
    return false;
  }
  return true;
}

void release_barrier() {
  votes = 0;
  run.barrier = run.clock += TICK;
  for (int thread = 0; thread < run.threads; ++thread) {
    votes += threads[thread].vote;
    threads[thread].state = State::ready;
    next_round.push_back(thread);
  }
}

void begin_block(int block) {
  run.block = block;
  run.block_begin = run.barrier = run.clock += TICK;
  memset(waiting, 0, sizeof waiting);
  block_index = split(block, run.launch->grid);
}

void run_block() {
  alive = run.threads;
  round.clear();
  for (int thread = 0; thread < run.threads; ++thread) {
    threads[thread].state = State::ready;
    threads[thread].fiber = -1;
    round.push_back(thread);
  }
  while (alive > 0) {
    arrange(round);
    next_round.clear();
    for (position = 0; position < round.size(); ++position) {
      resume();
      if (failed) return;
    }
    if (next_round.empty() && alive > 0) {
      if (!all_at_one_barrier()) return;
      release_barrier();
    }
    std::swap(round, next_round);
  }
}

void run_blocks() {
  const Launch& launch = *run.launch;
  std::vector<int> blocks(size_t(launch.grid[0]) * launch.grid[1] * launch.grid[2]);
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = int(i);
  arrange(blocks);
  for (int block : blocks) {
    begin_block(block);
    if (run.check) begin_block_checks();
    run_block();
    if (run.profile) profile_block();
    if (failed) return;
  }
}

void begin_launch(const Launch& launch, Kernel kernel) {
  run.launch = &launch;
  run.kernel = kernel;
  run.check = launch.check;
  run.profile = launch.profile;
  run.threads = int(launch.block[0] * launch.block[1] * launch.block[2]);
  for (int thread = 0; thread < run.threads; ++thread) indices[thread] = split(thread, launch.block);
  run.launch_begin = run.clock += TICK;
  failed = false;
  random_state = launch.seed * 0x9e3779b97f4a7c15 | 1;
  free_fibers.clear();
  for (int i = MOST_FIBERS; i-- > 0;) free_fibers.push_back(i);
}

}  // namespace

void describe_thread(char* text, size_t size, int block, int thread) {
  uint3 t = indices[thread], b = split(block, run.launch->grid);
  int used = block == run.block ? 0 : snprintf(text, size, "block (%u, %u, %u), ", b.x, b.y, b.z);
  snprintf(text + used, size - used, "thread (%u, %u, %u)", t.x, t.y, t.z);
}

void fail(const void* code, const void* other_code, const char* what, ...) {
  va_list details;
  va_start(details, what);
  record(run.current, what, details);
  va_end(details);
  const char* module = run.launch->module;
  finding.code = static_cast<const char*>(code) - module;
  finding.other_code = other_code ? static_cast<const char*>(other_code) - module : 0;
  leave_fiber();
  __builtin_unreachable();
}

void fail_at(const char* file, int line, const char* what, ...) {
  va_list details;
  va_start(details, what);
  record(run.current, what, details);
  va_end(details);
  finding.file = file;
  finding.line = line;
  leave_fiber();
  __builtin_unreachable();
}

}  // namespace emulator

// ---- what kernels call ----------------------------------------------------------------------------------------------
using namespace emulator;

extern "C" {
#pragma GCC visibility push(default)

int emulator_barrier(bool vote, const char* file, int line) {
  Thread& self = threads[run.current];
  self.state = State::at_barrier;
  self.vote = vote;
  self.file = file;
  self.line = line;
  leave_fiber();
  return votes;
}

uint64_t emulator_warp(Warp operation, unsigned mask, uint64_t value, int source, const char* file, int line) {
  Thread& self = threads[run.current];
  self.state = State::at_warp;
  self.operation = operation;
  self.mask = mask;
  self.value = value;
  self.source = source;
  self.file = file;
  self.line = line;
  leave_fiber();
  return self.value;
}

uint3 emulator_thread() { return indices[run.current]; }
uint3 emulator_block() { return block_index; }
dim3 emulator_block_size() { return {run.launch->block[0], run.launch->block[1], run.launch->block[2]}; }
dim3 emulator_grid_size() { return {run.launch->grid[0], run.launch->grid[1], run.launch->grid[2]}; }
unsigned emulator_lane() { return run.current % WARP; }

char* emulator_dynamic_shared() { return dynamic_shared; }

// ---- what Python calls ----------------------------------------------------------------------------------------------
// Runs a kernel; not 0 if it was ended by a finding.
int emulator_launch(const Launch* launch, Kernel kernel) {
  begin_launch(*launch, kernel);
  if (run.check || run.profile) begin_checks(dynamic_shared);
  if (run.profile) begin_profile();
  run_blocks();
  end_checks();
  run.launch = nullptr;
  return failed;
}

const Finding* emulator_finding() { return &finding; }

#pragma GCC visibility pop
}
