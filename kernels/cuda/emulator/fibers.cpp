// See fibers.h. On x86-64 a switch saves and loads seven registers, about a nanosecond; elsewhere it is ucontext's,
// which also asks the kernel about signals and takes a few hundred.
#include "fibers.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#if !defined(__x86_64__) || defined(EMULATOR_UCONTEXT)
#define USE_UCONTEXT
#include <ucontext.h>
#endif

namespace emulator {

char *stacks_begin, *stacks_end;

namespace {

constexpr size_t PAGE = 64 << 10;  // the largest that any of the processors has
constexpr size_t STACK = 4 * PAGE;  // of which the lowest page may not be touched: an overflow ends the program
constexpr size_t LINE = 64;

struct Fiber {
  bool has_stack;
#ifdef USE_UCONTEXT
  ucontext_t context;
#else
  void* stack_pointer;
#endif
};

Fiber fibers[MOST_FIBERS];
Fiber outside;  // whoever enters
int inside;     // the fiber that has been entered

// Memory is asked for once and used as far as it is touched.
char* stack_of(int fiber) {
  if (!stacks_begin) {
    void* memory = mmap(nullptr, MOST_FIBERS * STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) abort();
    stacks_begin = static_cast<char*>(memory);
    stacks_end = stacks_begin + MOST_FIBERS * STACK;
  }
  char* stack = stacks_begin + fiber * STACK;
  if (!fibers[fiber].has_stack) {
    mprotect(stack, PAGE, PROT_NONE);
    fibers[fiber].has_stack = true;
  }
  return stack;
}

// Where a stack begins (it grows downwards). Stacks of equal alignment would share a few lines of the cache.
char* top_of(int fiber) { return stack_of(fiber) + STACK - (1 + fiber * 5 % 61) * LINE; }

}  // namespace

#ifdef USE_UCONTEXT

void make_fiber(int fiber, void (*body)()) {
  ucontext_t& context = fibers[fiber].context;
  getcontext(&context);
  context.uc_stack.ss_sp = stack_of(fiber) + PAGE;
  context.uc_stack.ss_size = top_of(fiber) - stack_of(fiber) - PAGE;
  context.uc_link = nullptr;
  makecontext(&context, body, 0);
}

void enter_fiber(int fiber) {
  inside = fiber;
  swapcontext(&outside.context, &fibers[fiber].context);
}

void leave_fiber() { swapcontext(&fibers[inside].context, &outside.context); }

#else

// Saves the registers that a function must preserve on this stack, and takes those that lie on the other.
extern "C" void emulator_switch(void** save_stack_pointer, void* other_stack_pointer);
asm(R"(
    .text
    .globl emulator_switch
    .hidden emulator_switch
    .type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulator_switch, . - emulator_switch
)");

void make_fiber(int fiber, void (*body)()) {
  constexpr int SAVED = 6;  // registers that emulator_switch takes from the stack, below the address it returns to
  void** top = reinterpret_cast<void**>(top_of(fiber));
  top[-2] = reinterpret_cast<void*>(body);  // so that `body` finds the stack aligned as a call would leave it
  memset(top - 2 - SAVED, 0, SAVED * sizeof *top);
  fibers[fiber].stack_pointer = top - 2 - SAVED;
}

void enter_fiber(int fiber) {
  inside = fiber;
  emulator_switch(&outside.stack_pointer, fibers[fiber].stack_pointer);
}

void leave_fiber() { emulator_switch(&fibers[inside].stack_pointer, outside.stack_pointer); }

#endif

}  // namespace emulator
