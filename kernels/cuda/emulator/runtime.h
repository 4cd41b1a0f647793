// The runtime's inside: what the scheduler, the checker and the profiler share. One launch runs at a time.
#pragma once
#include <cstddef>
#include <cstdint>

#include "interface.h"

namespace emulator {

constexpr int WARP = 32;
constexpr int MOST_THREADS = 1024;  // of a block

// ---- what Python hands over, and gets back: module.py has the same structures ---------------------------------------
struct Extent {  // memory that a kernel may use
  char* begin;
  uint64_t bytes;
  uint8_t* written;  // 0xff for every byte that has been written, 0 for others; null for shared memory
  const char* name;
  uint32_t constant;  // only to be read
  uint32_t element;   // bytes of an element
};

struct Launch {
  unsigned grid[3], block[3];
  unsigned dynamic_shared;  // bytes
  int order;                // of blocks and threads: Order
  uint64_t seed;
  int check, profile;
  const Extent *arguments, *shared;
  int argument_count, shared_count;
  const uint64_t* values;           // of all arguments, each in eight bytes
  const char *module, *module_end;  // where the kernel's code and constants are
};

enum Order { FORWARD, REVERSE, RANDOM };

// Why a launch was ended.
struct Finding {
  char what[320];
  const char* file;  // where, or null: then the address of the code tells
  int line;
  uint64_t code, other_code;  // relative to the module; other_code is 0 where no other access is involved
  uint3 block, thread;
};

// One instruction that reads or writes, in all warps that ran it.
struct Site {
  uint64_t code;
  int shared, write, bytes;
  uint64_t requests;  // by a warp
  uint64_t lanes;     // that took part in them
  uint64_t passes;    // sectors of 32 bytes moved, or turns that shared memory took
  uint64_t ideal;     // what it would have taken with the lanes side by side
};

// ---- the running launch ---------------------------------------------------------------------------------------------
// Time goes on when a barrier orders accesses. It never returns, so what was noted in one launch is old in the next.
// `now` is a stamp: the time, and below TICK the number of the thread that runs.
using Time = uint64_t;
constexpr Time TICK = 1 << 16;

struct Run {
  const Launch* launch;  // null between launches
  Kernel kernel;
  bool check, profile;
  int threads;  // of a block
  int current;  // the one that runs
  int block;    // its number among the blocks of the launch

  Time clock = TICK;
  Time now;
  Time launch_begin, block_begin;
  Time barrier;                    // the block's last barrier, or its beginning
  Time warp_sync[MOST_THREADS / WARP];  // each warp's last __syncwarp of all its lanes, perhaps in an earlier block
  Time part_sync[MOST_THREADS];         // each thread's last one of some lanes
  unsigned part_mask[MOST_THREADS];     // which they were
};

extern Run run;

// "block (1, 0, 0), thread (8, 0, 0)", or without the block if it is the running one.
void describe_thread(char* text, size_t size, int block, int thread);

// ---- scheduler ------------------------------------------------------------------------------------------------------
// Ends the launch. From within a kernel's thread; does not return.
[[noreturn]] void fail(const void* code, const void* other_code, const char* what, ...)
    __attribute__((format(printf, 3, 4)));
[[noreturn]] void fail_at(const char* file, int line, const char* what, ...) __attribute__((format(printf, 3, 4)));

// ---- checker --------------------------------------------------------------------------------------------------------
void begin_checks(char* dynamic_shared);  // of a launch
void begin_block_checks();
void end_checks();

// ---- profiler -------------------------------------------------------------------------------------------------------
void begin_profile();
void profile_access(const void* address, int bytes, bool write, bool shared, const void* code);
void profile_block();  // adds up what the block has done

}  // namespace emulator
