// Fibers: functions that can be left in the middle and entered again, each with a stack of its own.
#pragma once

namespace emulator {

constexpr int MOST_FIBERS = 1024;

// Makes a fiber that will run `body` when it is first entered. `body` must not return.
void make_fiber(int fiber, void (*body)());

// Goes on in the fiber, until it leaves.
void enter_fiber(int fiber);

// From within a fiber: back to where it was entered.
void leave_fiber();

// All stacks lie between these, so that an access to local memory is told by its address.
extern char *stacks_begin, *stacks_end;

}  // namespace emulator
