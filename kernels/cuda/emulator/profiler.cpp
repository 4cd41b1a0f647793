// Counts what the accesses of warps cost: sectors of 32 bytes in global memory, turns in shared memory.
//
// The n-th time that the lanes of a warp come by an instruction is taken as one request of the warp's. Where lanes
// take different ways that is a guess, and a good one while they take them equally often.
#include <algorithm>
#include <map>
#include <unordered_map>
#include <vector>

#include "runtime.h"

namespace emulator {
namespace {

constexpr int SECTOR = 32;  // bytes that global memory moves at least
constexpr int BANKS = 32;   // of shared memory, four bytes wide
constexpr int TURN = 128;   // bytes that they give at once

struct Request {  // one lane's part of it
  uint64_t code;
  uint32_t warp, turn;
  uint64_t address;
  int lane, bytes;
  bool write, shared;

  bool with(const Request& other) const { return code == other.code && warp == other.warp && turn == other.turn; }
  bool operator<(const Request& other) const {
    if (code != other.code) return code < other.code;
    if (warp != other.warp) return warp < other.warp;
    if (turn != other.turn) return turn < other.turn;
    return lane < other.lane;
  }
};

std::vector<Request> requests;                  // of this block
std::unordered_map<uint64_t, uint32_t> visits;  // of a thread to an instruction
std::map<uint64_t, Site> sites;

uint64_t distinct(std::vector<uint64_t>& numbers) {
  std::sort(numbers.begin(), numbers.end());
  return std::unique(numbers.begin(), numbers.end()) - numbers.begin();
}

uint64_t sectors(const Request* begin, const Request* end) {
  std::vector<uint64_t> touched;
  for (auto r = begin; r != end; ++r) {
    for (uint64_t s = r->address / SECTOR; s <= (r->address + r->bytes - 1) / SECTOR; ++s) touched.push_back(s);
  }
  return distinct(touched);
}

// Lanes are served by groups whose bytes fill a turn. Of each bank one word is had at a time, by all who want it.
uint64_t turns(const Request* begin, const Request* end) {
  int group = TURN / std::max(4, begin->bytes);  // lanes
  uint64_t total = 0;
  while (begin != end) {
    std::vector<uint64_t> words[BANKS];
    for (int served = begin->lane / group; begin != end && begin->lane / group == served; ++begin) {
      for (uint64_t word = begin->address / 4; word <= (begin->address + begin->bytes - 1) / 4; ++word) {
        words[word % BANKS].push_back(word);
      }
    }
    uint64_t most = 0;
    for (auto& wanted : words) most = std::max(most, distinct(wanted));
    total += most;
  }
  return total;
}

void add(const Request* begin, const Request* end) {
  Site& site = sites[begin->code];
  uint64_t lanes = end - begin, bytes = lanes * begin->bytes;
  site.code = begin->code;
  site.shared = begin->shared;
  site.write = begin->write;
  site.bytes = begin->bytes;
  site.requests += 1;
  site.lanes += lanes;
  site.passes += begin->shared ? turns(begin, end) : sectors(begin, end);
  site.ideal += begin->shared ? (bytes + TURN - 1) / TURN : (bytes + SECTOR - 1) / SECTOR;
}

}  // namespace

void begin_profile() {
  requests.clear();
  visits.clear();
  sites.clear();
}

void profile_access(const void* address, int bytes, bool write, bool shared, const void* code) {
  uint64_t place = static_cast<const char*>(code) - run.launch->module;
  uint32_t turn = visits[place * MOST_THREADS + run.current]++;
  requests.push_back({place, uint32_t(run.current / WARP), turn, reinterpret_cast<uint64_t>(address),
                      run.current % WARP, bytes, write, shared});
}

void profile_block() {
  std::sort(requests.begin(), requests.end());
  const Request *begin = requests.data(), *all = begin + requests.size();
  while (begin != all) {
    const Request* end = begin;
    while (end != all && end->with(*begin)) ++end;
    add(begin, end);
    begin = end;
  }
  requests.clear();
  visits.clear();
}

}  // namespace emulator

// What Python asks for after a launch: the sites one by one, null behind the last.
extern "C" __attribute__((visibility("default"))) const emulator::Site* emulator_site(int number) {
  using namespace emulator;
  if (number >= int(sites.size())) return nullptr;
  return &std::next(sites.begin(), number)->second;
}
