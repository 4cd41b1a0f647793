// Watches every access to memory.
//
// Kernels are compiled with -fsanitize=thread, for which g++ puts a call before each load and store, and with
// -fsanitize=bounds,alignment. What these call is defined here, in place of the libraries that come with g++, which
// know nothing of blocks and barriers.
//
// Each cell (an element, at most four bytes) remembers who last wrote and read it, and when. Two accesses to a cell of
// which one writes are a race unless the first is known to come before the second: by a barrier of the block, by a
// __syncwarp, or because one block has seen another's atomic operation after a __threadfence. It does not matter in
// which order they happened to run here.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "fibers.h"
#include "runtime.h"

namespace emulator {
namespace {

// ---- stamps: time, by how many threads, thread ----------------------------------------------------------------------
constexpr Time THREAD = 1023, SPREAD = 3 << 10;
constexpr Time OF_WARP = 1 << 10, OF_BLOCK = 2 << 10, OF_BLOCKS = 3 << 10;  // several have done it, unordered

// When it was last accessed, each with the instruction that did it.
struct Cell {
  Time write;
  Time atomic;
  Time read, other_read;  // the last one, and one of another thread before it: see note_read
  uint32_t write_code, atomic_code, read_code, other_read_code;
};

struct Range {
  char* begin;
  uint64_t bytes;
  uint8_t* written;
  Cell* cells;
  const char* name;
  bool constant, shared;
  int shift;  // a cell has 1 << shift bytes
};

constexpr int MOST_RANGES = 4096;
Range ranges[MOST_RANGES];  // those that are not in use have no bytes
int range_count;

// Which range an instruction used last, by its address: few instructions change.
uint16_t last_range[1 << 10];

uint16_t& guess(const void* code) {
  return last_range[reinterpret_cast<uintptr_t>(code) * 0x9e3779b97f4a7c15 >> (64 - 10)];
}

// Memory for cells, taken anew for each launch: stamps of earlier launches are recognised by their age.
Cell* cells;
size_t cell_capacity;

void provide_cells(size_t count) {
  if (count <= cell_capacity) return;
  if (cells) munmap(cells, cell_capacity * sizeof(Cell));
  cell_capacity = 2 * count;
  void* memory = mmap(nullptr, cell_capacity * sizeof(Cell), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) abort();
  cells = static_cast<Cell*>(memory);
}

uint32_t relative(const void* code) { return uint32_t(static_cast<const char*>(code) - run.launch->module); }
const void* absolute(uint32_t code) { return run.launch->module + code; }

// ---- blocks that have handed over to this one -----------------------------------------------------------------------
// A block that did a __threadfence and then an atomic operation has published what it wrote, to those that later do
// an atomic operation on the same address.
using Blocks = std::vector<uint64_t>;  // one bit each

std::vector<std::pair<Time, int>> begins;  // of blocks that have run, in the order of time
std::unordered_map<char*, Blocks> published;
Blocks acquired;
bool fenced;

int block_at(Time stamp) {
  auto after = std::upper_bound(begins.begin(), begins.end(), std::make_pair(stamp | (TICK - 1), INT32_MAX));
  return (after - 1)->second;
}

bool is_acquired(Time stamp) {
  if (acquired.empty()) return false;
  int block = block_at(stamp);
  return acquired[block / 64] >> block % 64 & 1;
}

void hand_over(char* address) {
  size_t words = (size_t(run.launch->grid[0]) * run.launch->grid[1] * run.launch->grid[2] + 63) / 64;
  auto found = published.find(address);
  if (found == published.end()) {
    if (!fenced) return;
    found = published.emplace(address, Blocks(words)).first;
  }
  acquired.resize(words);
  for (size_t i = 0; i < words; ++i) acquired[i] |= found->second[i];
  if (!fenced) return;
  for (size_t i = 0; i < words; ++i) found->second[i] |= acquired[i];
  found->second[run.block / 64] |= uint64_t(1) << run.block % 64;
}

// ---- order ----------------------------------------------------------------------------------------------------------
// Whether what the stamp stands for comes before all that the running thread does now.
bool comes_before(Time stamp, bool shared) {
  if (stamp < run.launch_begin) return true;
  if ((stamp & SPREAD) == OF_BLOCKS) return false;
  if (stamp < run.block_begin) return shared || is_acquired(stamp);
  if (stamp < run.barrier) return true;
  if ((stamp & SPREAD) == OF_BLOCK) return false;
  int thread = stamp & THREAD;
  if (thread == run.current && !(stamp & SPREAD)) return true;
  if (thread / WARP != run.current / WARP) return false;
  if (stamp < run.warp_sync[run.current / WARP]) return true;
  return stamp < run.part_sync[run.current] && run.part_mask[run.current] >> thread % WARP & 1;
}

// A stamp this recent may be unordered; older ones need no thought.
Time recent(const Range& range) { return range.shared ? run.barrier : run.launch_begin; }

bool unordered(Time stamp, const Range& range) {
  return stamp >= recent(range) && !comes_before(stamp, range.shared);
}

// ---- messages -------------------------------------------------------------------------------------------------------
[[noreturn]] void fail_race(const Range& range, const char* address, const char* doing, Time stamp, const char* done,
                            const void* code, uint32_t other_code) {
  char who[96];
  describe_thread(who, sizeof who, block_at(stamp), int(stamp & THREAD));
  fail(code, absolute(other_code), "race: %s %s at byte %ld, which %s has %s with nothing that orders the two", doing,
       range.name, long(address - range.begin), who, done);
}

[[noreturn]] void fail_outside(const char* address, int bytes, bool write, const void* code) {
  const char* kind = write ? "write" : "read";
  const Range* nearest = nullptr;
  long distance = 1 << 20;  // what is farther away than this has nothing to do with it
  for (int i = 0; i < range_count; ++i) {
    const Range& range = ranges[i];
    bool before = address < range.begin;
    long away = before ? range.begin - address : address + bytes - (range.begin + range.bytes);
    if (away < distance) distance = away, nearest = &range;
  }
  if (nearest) {
    fail(code, nullptr, "out of bounds: %s of %d bytes, %ld %s of the %lu bytes of %s", kind, bytes, distance,
         address < nearest->begin ? "before the beginning" : "past the end", (unsigned long)nearest->bytes,
         nearest->name);
  }
  for (int i = 0; i < run.launch->argument_count; ++i) {
    const Extent& argument = run.launch->arguments[i];
    bool could_be = reinterpret_cast<uintptr_t>(address) < uintptr_t(1) << 32;
    if (!argument.begin && could_be) {
      fail(code, nullptr, "out of bounds: %s of %d bytes at %p: %s is null", kind, bytes, address, argument.name);
    }
  }
  fail(code, nullptr, "out of bounds: %s of %d bytes at %p, far from every argument", kind, bytes, address);
}

// ---- accesses -------------------------------------------------------------------------------------------------------
bool within(const char* address, const void* begin, const void* end) { return address >= begin && address < end; }

// The range of an address; null for constants and the like, which need no checks.
Range* find(const char* address, int bytes, bool write, const void* code) {
  if (!run.launch) return nullptr;
  for (int i = 0; i < range_count; ++i) {
    uint64_t offset = address - ranges[i].begin;
    if (offset < ranges[i].bytes && offset + bytes <= ranges[i].bytes) {
      guess(code) = uint16_t(i);
      return &ranges[i];
    }
  }
  bool constant = within(address, run.launch->module, run.launch->module_end);
  if ((write || !constant) && run.check) fail_outside(address, bytes, write, code);
  return nullptr;
}

[[noreturn]] void fail_unwritten(const Range& range, const char* address, const void* code) {
  fail(code, nullptr, "reads %s at byte %ld, which nothing has written since it was made", range.name,
       long(address - range.begin));
}

[[noreturn]] void fail_fresh(const Range& range, const char* address, const void* code) {
  fail(code, nullptr,
       "reads the shared memory %s at byte %ld, which no thread of the block has written: it is not initialised, or a "
       "barrier is missing",
       range.name, long(address - range.begin));
}

// What an earlier read is worth remembering beside one of the running thread: it may conflict with writes of a warp, of
// all other warps, or of all threads of this block.
int worth(Time stamp, const Range& range) {
  bool other_block = stamp < run.block_begin;
  if (stamp < recent(range) || (other_block ? is_acquired(stamp) : stamp < run.barrier)) return 0;
  if (other_block) return 3;
  return int(stamp & THREAD) / WARP != run.current / WARP ? 2 : 1;
}

// Two reads are remembered: this one, and of those before it the one that conflicts with most writes to come.
void note_read(Cell& cell, const Range& range, const void* code) {
  Time last = cell.read;
  bool same_thread = last >= run.block_begin && int(last & THREAD) == run.current;
  if (!same_thread && last >= recent(range) && worth(last, range) >= worth(cell.other_read, range)) {
    cell.other_read = last;
    cell.other_read_code = cell.read_code;
  }
  cell.read = run.now;
  cell.read_code = relative(code);
}

void check_read(Cell& cell, const Range& range, const char* address, const void* code) {
  if (unordered(cell.write, range)) {
    fail_race(range, address, "reads", cell.write, "written", code, cell.write_code);
  }
  if (unordered(cell.atomic, range)) {
    fail_race(range, address, "reads", cell.atomic, "atomically changed", code, cell.atomic_code);
  }
  note_read(cell, range, code);
}

// What a write and an atomic operation have in common.
void check_change(Cell& cell, const Range& range, const char* address, const void* code) {
  if (unordered(cell.write, range)) {
    fail_race(range, address, "writes", cell.write, "written", code, cell.write_code);
  }
  if (unordered(cell.read, range)) {
    fail_race(range, address, "writes", cell.read, "read", code, cell.read_code);
  }
  if (unordered(cell.other_read, range)) {
    fail_race(range, address, "writes", cell.other_read, "read", code, cell.other_read_code);
  }
}

void check_write(Cell& cell, const Range& range, const char* address, const void* code) {
  check_change(cell, range, address, code);
  if (unordered(cell.atomic, range)) {
    fail_race(range, address, "writes", cell.atomic, "atomically changed", code, cell.atomic_code);
  }
  cell.write = run.now;
  cell.write_code = relative(code);
}

// Atomic operations do not race with one another. What comes later and is not one has to be ordered with all of them.
void check_atomic(Cell& cell, const Range& range, const char* address, const void* code) {
  check_change(cell, range, address, code);
  Time spread = 0;
  if (unordered(cell.atomic, range)) {
    bool other_block = cell.atomic < run.block_begin;
    bool other_warp = int(cell.atomic & THREAD) / WARP != run.current / WARP;
    spread = std::max(cell.atomic & SPREAD, other_block ? OF_BLOCKS : other_warp ? OF_BLOCK : OF_WARP);
  }
  cell.atomic = run.now | spread;
  cell.atomic_code = relative(code);
}

enum class Access { read, write, atomic };

template <Access access, int BYTES>
inline void check_cells(Range& range, const char* address, const void* code) {
  uint64_t offset = address - range.begin;
  Cell* cell = range.cells + (offset >> range.shift);
  int count = BYTES >> range.shift;
  if (count == 0) {  // a part of a cell: races within cells are not looked for
    if (access == Access::read && range.shared && cell->write < run.block_begin) fail_fresh(range, address, code);
    if (access != Access::read) cell->write = run.now, cell->write_code = relative(code);
    return;
  }
  for (; count-- > 0; ++cell, address += 1 << range.shift) {
    if (access != Access::write && range.shared && cell->write < run.block_begin) fail_fresh(range, address, code);
    if (access == Access::read) check_read(*cell, range, address, code);
    if (access == Access::write) check_write(*cell, range, address, code);
    if (access == Access::atomic) check_atomic(*cell, range, address, code);
  }
}

template <int BYTES>
bool all_written(const uint8_t* marks) {
  uint8_t all[BYTES];
  memset(all, 0xff, BYTES);
  return !memcmp(marks, all, BYTES);
}

// The number of bytes is a constant, which the compiler makes good use of: all of this is run for each access.
template <Access access, int BYTES>
inline void watch(void* memory, bool aligned, const void* code) {
  char* address = static_cast<char*>(memory);
  if (within(address, stacks_begin, stacks_end)) return;  // local memory
  Range* range = &ranges[guess(code)];
  uint64_t offset = address - range->begin;
  if (offset >= range->bytes || offset + BYTES > range->bytes) {
    range = find(address, BYTES, access != Access::read, code);
    if (!range) return;
    offset = address - range->begin;
  }
  if (run.profile) profile_access(address, BYTES, access != Access::read, range->shared, code);
  if (!run.check) return;
  if (aligned && reinterpret_cast<uintptr_t>(address) % BYTES) {
    fail(code, nullptr, "misaligned: %s of %d bytes in %s at byte %ld", access == Access::read ? "read" : "write",
         BYTES, range->name, long(offset));
  }
  if (range->written) {
    uint8_t* marks = range->written + offset;
    if (access != Access::write && !all_written<BYTES>(marks)) fail_unwritten(*range, address, code);
    if (access != Access::read) memset(marks, 0xff, BYTES);
  }
  if (!range->constant) {
    check_cells<access, BYTES>(*range, address, code);
  } else if (access != Access::read) {
    fail(code, nullptr, "writes %s, which the kernel has declared const", range->name);
  }
}

// For structures of other sizes: as many accesses.
template <Access access>
void watch_bytes(void* memory, size_t bytes, const void* code) {
  char* address = static_cast<char*>(memory);
  for (; bytes >= 4; bytes -= 4, address += 4) watch<access, 4>(address, false, code);
  for (; bytes > 0; --bytes, ++address) watch<access, 1>(address, false, code);
}

// ---- ranges of a launch ---------------------------------------------------------------------------------------------
// Arguments may overlap, as where an op works in place. Then they are one range, that may be written if one may.
void add_range(Range range) {
  for (int i = 0; i < range_count;) {
    const Range other = ranges[i];
    if (other.begin >= range.begin + range.bytes || range.begin >= other.begin + other.bytes) {
      ++i;
      continue;
    }
    char* end = std::max(range.begin + range.bytes, other.begin + other.bytes);
    if (other.begin < range.begin) range.begin = other.begin, range.written = other.written;
    if (range.constant) range.name = other.name;
    range.bytes = end - range.begin;
    range.constant &= other.constant;
    range.shift = std::min(range.shift, other.shift);
    ranges[i] = ranges[--range_count];
    i = 0;
  }
  if (range_count == MOST_RANGES) abort();
  ranges[range_count++] = range;
}

void add_extent(const Extent& extent, bool shared) {
  if (!extent.begin || !extent.bytes) return;
  int shift = extent.element == 1 ? 0 : 2;
  add_range({extent.begin, extent.bytes, extent.written, nullptr, extent.name, extent.constant != 0, shared, shift});
}

void place_cells() {
  size_t count = 0;
  for (int i = 0; i < range_count; ++i) {
    if (!ranges[i].constant) count += (ranges[i].bytes >> ranges[i].shift) + 1;
  }
  provide_cells(count);
  count = 0;
  for (int i = 0; i < range_count; ++i) {
    if (ranges[i].constant) continue;
    ranges[i].cells = cells + count;
    count += (ranges[i].bytes >> ranges[i].shift) + 1;
  }
}

}  // namespace

void begin_checks(char* dynamic_shared) {
  const Launch& launch = *run.launch;
  range_count = 0;
  for (int i = 0; i < launch.argument_count; ++i) add_extent(launch.arguments[i], false);
  for (int i = 0; i < launch.shared_count; ++i) add_extent(launch.shared[i], true);
  add_extent({dynamic_shared, launch.dynamic_shared, nullptr, "(dynamic)", 0, 4}, true);
  place_cells();
  begins.clear();
  published.clear();
}

void begin_block_checks() {
  begins.emplace_back(run.block_begin, run.block);
  acquired.clear();
  fenced = false;
}

void end_checks() {
  for (int i = 0; i < range_count; ++i) ranges[i].bytes = 0;
  range_count = 0;
}

// ---- what g++ calls for each access ---------------------------------------------------------------------------------
namespace {

// The handlers of the undefined behaviour sanitizer are given a structure that begins with this.
struct Place {
  const char* file;
  uint32_t line, column;
};

}  // namespace
}  // namespace emulator

using namespace emulator;

extern "C" {
#pragma GCC visibility push(default)

#define HERE __builtin_return_address(0)
#define WATCH(bytes)                                                                                \
  void __tsan_read##bytes(void* p) { watch<Access::read, bytes>(p, true, HERE); }                   \
  void __tsan_write##bytes(void* p) { watch<Access::write, bytes>(p, true, HERE); }                 \
  void __tsan_volatile_read##bytes(void* p) { watch<Access::read, bytes>(p, true, HERE); }          \
  void __tsan_volatile_write##bytes(void* p) { watch<Access::write, bytes>(p, true, HERE); }        \
  void __tsan_unaligned_read##bytes(void* p) { watch<Access::read, bytes>(p, false, HERE); }        \
  void __tsan_unaligned_write##bytes(void* p) { watch<Access::write, bytes>(p, false, HERE); }
WATCH(1)
WATCH(2)
WATCH(4)
WATCH(8)
WATCH(16)
void __tsan_read_range(void* p, size_t bytes) { watch_bytes<Access::read>(p, bytes, HERE); }
void __tsan_write_range(void* p, size_t bytes) { watch_bytes<Access::write>(p, bytes, HERE); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

void __ubsan_handle_out_of_bounds(Place* place, void* index) {
  fail_at(place->file, place->line, "out of bounds: %ld is no index of this array", long(index));
}

void __ubsan_handle_type_mismatch_v1(Place* place, void* address) {
  if (address) fail_at(place->file, place->line, "misaligned: the address %p of a vector or a number", address);
  fail_at(place->file, place->line, "out of bounds: access through a null pointer");
}

void emulator_atomic(void* address, int bytes, void* caller) {
  if (!run.check && !run.profile) return;
  hand_over(static_cast<char*>(address));
  if (bytes == 4) watch<Access::atomic, 4>(address, true, caller);
  if (bytes == 8) watch<Access::atomic, 8>(address, true, caller);
}

void emulator_fence() { fenced = true; }

#pragma GCC visibility pop
}
