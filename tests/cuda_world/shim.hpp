// Runs CUDA kernels on a processor, one block after another, the threads of a block as fibers that change at barriers.
// Refused, with a reason: an access outside every buffer that the caller named, a misaligned one, an index outside a
// shared array, and a barrier that not all threads of a block reach, or reach at another line. Shared memory starts
// each block filled with NaN, and fibers run one after another up to a barrier, so a missing one gives wrong numbers.
#pragma once
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#define TREADLE_ON_HOST
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 { unsigned x, y, z; };

namespace shim {

constexpr size_t STACK = 256 * 1024;

struct Fiber { ucontext_t context; char* stack; bool finished; int line; dim3 thread; };
struct SharedMemory { void* data; size_t bytes; };

inline dim3 grid, blocks, threads, block;
inline Fiber* current;
inline ucontext_t scheduler;
inline bool failed;
inline char message[512];
inline std::vector<Fiber> fibers;
inline std::vector<SharedMemory> shared;
inline const uint64_t* ranges;  // pairs of start and end, ascending
inline size_t range_count;
constexpr uint64_t GRANULE = 256;  // bytes; what lies in different ones is taken for different data
inline std::unordered_set<uint64_t> touched[2];  // granules that a launch read; and those it may have written
inline uint64_t last_touched[2];
inline bool recording;

inline void touch(uint64_t where, bool writable) {
  if (!recording || last_touched[writable] == where / GRANULE) return;
  last_touched[writable] = where / GRANULE;
  touched[writable].insert(where / GRANULE);
}

template <class... Values> void describe(const char* format, Values... values) {
  int used = snprintf(message, sizeof message, "block (%u,%u,%u) thread %u: ", block.x, block.y, block.z,
                      current->thread.x);
  snprintf(message + used, sizeof message - used, format, values...);
  failed = true;
}

template <class... Values> void fail(const char* format, Values... values) {
  describe(format, values...);
  swapcontext(&current->context, &scheduler);  // for good
}

inline void barrier(int line) {
  current->line = line;
  swapcontext(&current->context, &scheduler);
}

inline bool inside(uint64_t where, size_t bytes) {
  size_t low = 0, high = range_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (ranges[2 * middle + 1] <= where) low = middle + 1; else high = middle;
  }
  return low < range_count && ranges[2 * low] <= where && where + bytes <= ranges[2 * low + 1];
}

template <class T> struct Pointer {
  uint64_t base;
  T& operator[](int64_t index) const {
    uint64_t where = base + index * sizeof(T);
    if (where % alignof(T)) fail("misaligned access of %zu bytes at element %lld", sizeof(T), (long long)index);
    if (!inside(where, sizeof(T)))
      fail("access outside every buffer: element %lld of %zu bytes", (long long)index, sizeof(T));
    touch(where, !std::is_const_v<T>);
    return *reinterpret_cast<T*>(where);
  }
};

template <class T, size_t COUNT> struct Shared {
  T values[COUNT];
  Shared() { shared.push_back({values, sizeof values}); memset(values, 0xff, sizeof values); }
  T& operator[](int64_t index) {
    if (index < 0 || index >= (int64_t)COUNT) fail("index %lld of a shared array of %zu", (long long)index, COUNT);
    return values[index];
  }
};

inline void (*entry)();
inline void run_fiber() {
  entry();
  current->finished = true;
  swapcontext(&current->context, &scheduler);
}

inline bool run_block(unsigned count) {
  for (auto& each : shared) memset(each.data, 0xff, each.bytes);
  for (unsigned index = 0; index < count; ++index) {
    Fiber& fiber = fibers[index];
    fiber.finished = false;
    fiber.line = 0;
    fiber.thread = {index % threads.x, index / threads.x % threads.y, index / threads.x / threads.y};
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, run_fiber, 0);
  }
  for (;;) {
    unsigned finished = 0;
    for (unsigned index = 0; index < count; ++index) {
      if (!fibers[index].finished) {
        current = &fibers[index];
        swapcontext(&scheduler, &current->context);
        if (failed) return false;
      }
      finished += fibers[index].finished;
    }
    if (finished == count) return true;
    current = &fibers[0];
    if (finished) {
      describe("divergent barrier: %u of %u threads never reach it", finished, count);
      return false;
    }
    for (unsigned index = 1; index < count; ++index)
      if (fibers[index].line != fibers[0].line) {
        describe("divergent barrier: threads wait at line %d and at line %d", fibers[0].line, fibers[index].line);
        return false;
      }
  }
}

template <class... Parameters> struct Call {
  static inline void (*function)(Parameters...);
  static inline void** arguments;
  template <size_t... INDICES> static void spread(std::index_sequence<INDICES...>) {
    function(*static_cast<Parameters*>(arguments[INDICES])...);
  }
  static void now() { spread(std::index_sequence_for<Parameters...>()); }
};

template <class... Parameters>
const char* launch(void (*function)(Parameters...), const unsigned* shape, void** arguments, unsigned given) {
  if (given != sizeof...(Parameters)) return "wrong number of arguments";
  Call<Parameters...>::function = function;
  Call<Parameters...>::arguments = arguments;
  entry = Call<Parameters...>::now;
  blocks = {shape[0], shape[1], shape[2]};
  threads = {shape[3], shape[4], shape[5]};
  const unsigned count = threads.x * threads.y * threads.z;
  while (fibers.size() < count) {
    Fiber fiber{};
    fiber.stack = static_cast<char*>(malloc(STACK));
    fibers.push_back(fiber);
  }
  failed = false;
  for (block.z = 0; block.z < blocks.z; ++block.z)
    for (block.y = 0; block.y < blocks.y; ++block.y)
      for (block.x = 0; block.x < blocks.x; ++block.x)
        if (!run_block(count)) return message;
  return nullptr;
}

}  // namespace shim

extern "C" __attribute__((visibility("default"))) void shim_ranges(const uint64_t* pairs, size_t count) { shim::ranges = pairs; shim::range_count = count; }

extern "C" __attribute__((visibility("default"))) void shim_record(bool recording) {
  shim::recording = recording;
  for (bool writable : {false, true}) {
    shim::touched[writable].clear();
    shim::last_touched[writable] = 0;
  }
}
extern "C" __attribute__((visibility("default"))) size_t shim_touched(bool writable, uint64_t* granules) {
  size_t count = 0;
  for (uint64_t granule : shim::touched[writable]) {
    if (granules) granules[count] = granule;
    ++count;
  }
  return count;
}

#define threadIdx (shim::current->thread)
#define blockIdx (shim::block)
#define blockDim (shim::threads)
#define gridDim (shim::blocks)
#define __syncthreads() shim::barrier(__LINE__)
#define SHARED(type, name, count) static shim::Shared<type, count> name

template <class T> shim::Pointer<T> at(unsigned long long where) { return {where}; }

// The kernels' `half_bits` is declared after this; a template waits for it.
template <class Half> float to_float(Half x) {
  static_assert(sizeof x == sizeof(_Float16));
  _Float16 value;
  memcpy(&value, &x, sizeof value);
  return value;
}
inline float __int_as_float(int x) { float result; memcpy(&result, &x, sizeof result); return result; }
