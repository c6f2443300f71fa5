#include "core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"

namespace monosem {
namespace {

using Body = std::function<void(int64_t, int64_t, int)>;

constexpr int kMaxThreads = 1024;
// Long enough to bridge the gap between two operators, short enough that a machine with more
// runnable threads than cores loses little to it.
constexpr auto kSpinTime = std::chrono::microseconds(50);

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Waits until `word` differs from `old`: spins for a bounded time, then sleeps in the kernel.
template <class Word>
void wait_change(const std::atomic<Word>& word, Word old, bool spin) {
  if (spin) {
    const auto end = std::chrono::steady_clock::now() + kSpinTime;
    do {
      for (int i = 0; i < 32; ++i) {
        if (word.load(std::memory_order_acquire) != old) return;
        pause_cpu();
      }
    } while (std::chrono::steady_clock::now() < end);
  }
  while (word.load(std::memory_order_acquire) == old) word.wait(old, std::memory_order_acquire);
}

int default_threads() {
  const char* text = std::getenv("MONOSEM_THREADS");
  if (text == nullptr || *text == '\0')
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*end != '\0' || value < 1 || value > kMaxThreads)
    throw Error(kInvalidArgument, "MONOSEM_THREADS must be a whole number from 1 to " +
                                      std::to_string(kMaxThreads) + ", but it is '" + text + "'");
  return static_cast<int>(value);
}

// The worker number of this thread while it runs a body, else -1: what makes nested runs inline.
thread_local int current_worker = -1;

struct WorkerScope {
  explicit WorkerScope(int worker) { current_worker = worker; }
  ~WorkerScope() { current_worker = -1; }
};

}  // namespace

struct ThreadPool::State {
  // The open job: generation in the high half, pieces nobody has claimed in the low half. A piece
  // is claimed by decrementing, so a claim can only succeed on a job that is still open, and the
  // fields below may be read by whoever holds a claim: the job cannot end before that piece does.
  std::atomic<uint64_t> ticket{0};
  std::atomic<uint32_t> unfinished{0};
  std::atomic<uint32_t> wakeups{0};  // changes with every job: what idle workers sleep on
  const Body* body = nullptr;
  int64_t count = 0, grain = 1;
  uint32_t pieces = 0;

  std::atomic<bool> failed{false};
  std::mutex failure_mutex;
  std::exception_ptr failure;

  std::mutex run_mutex;  // one job at a time; a second caller waits its turn
  std::atomic<bool> stopping{false};
  bool spin = true;
  std::vector<std::thread> workers;

  void run_piece(uint32_t piece, int worker) {
    if (!failed.load(std::memory_order_relaxed)) {
      try {
        const int64_t begin = int64_t{piece} * grain;
        (*body)(begin, std::min(count, begin + grain), worker);
      } catch (...) {
        const std::lock_guard lock(failure_mutex);
        if (!failed.exchange(true)) failure = std::current_exception();
      }
    }
    if (unfinished.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished.notify_all();
  }

  void work(int worker) {
    const WorkerScope scope(worker);
    uint64_t seen = ticket.load(std::memory_order_acquire);
    while (static_cast<uint32_t>(seen) != 0) {
      if (!ticket.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel,
                                        std::memory_order_acquire))
        continue;
      run_piece(pieces - static_cast<uint32_t>(seen), worker);
      seen = ticket.load(std::memory_order_acquire);
    }
  }

  void worker_main(int worker) {
    uint32_t seen = 0;
    while (true) {
      wait_change(wakeups, seen, spin);
      seen = wakeups.load(std::memory_order_acquire);
      if (stopping.load(std::memory_order_acquire)) return;
      work(worker);
    }
  }

  void stop() {
    stopping.store(true, std::memory_order_release);
    wakeups.fetch_add(1, std::memory_order_release);
    wakeups.notify_all();
    for (std::thread& thread : workers) thread.join();
  }
};

ThreadPool& ThreadPool::instance() {
  // Never destroyed: at process exit other threads may still be inside run().
  static ThreadPool& pool = *std::make_unique<ThreadPool>(default_threads()).release();
  return pool;
}

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  if (threads < 1 || threads > kMaxThreads)
    throw Error(kInvalidArgument, "a thread pool needs 1 to " + std::to_string(kMaxThreads) +
                                      " threads, got " + std::to_string(threads));
  // With more threads than cores a spinning worker only keeps another from working.
  state_->spin = threads <= static_cast<int>(std::thread::hardware_concurrency());
  try {
    for (int worker = 1; worker < threads; ++worker)
      state_->workers.emplace_back([state = state_.get(), worker] { state->worker_main(worker); });
  } catch (const std::system_error&) {
    // The process may start no more threads: work with those we got.
  }
}

ThreadPool::~ThreadPool() { state_->stop(); }

int ThreadPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run(int64_t count, int64_t grain, const Body& body) {
  if (count <= 0) return;
  State& state = *state_;
  // A piece's number fits the ticket's low half.
  grain = std::max<int64_t>({grain, 1, count / 0x7fffffff + 1});
  const int64_t pieces = (count + grain - 1) / grain;

  if (current_worker >= 0) {
    for (int64_t begin = 0; begin < count; begin += grain)
      body(begin, std::min(count, begin + grain), current_worker);
    return;
  }

  const std::lock_guard lock(state.run_mutex);
  if (pieces == 1 || state.workers.empty()) {
    const WorkerScope scope(0);
    for (int64_t begin = 0; begin < count; begin += grain)
      body(begin, std::min(count, begin + grain), 0);
    return;
  }
  state.body = &body;
  state.count = count;
  state.grain = grain;
  state.pieces = static_cast<uint32_t>(pieces);
  state.failed.store(false, std::memory_order_relaxed);
  state.unfinished.store(state.pieces, std::memory_order_relaxed);
  const uint64_t generation = (state.ticket.load(std::memory_order_relaxed) >> 32) + 1;
  state.ticket.store(generation << 32 | state.pieces, std::memory_order_release);
  state.wakeups.fetch_add(1, std::memory_order_release);
  state.wakeups.notify_all();

  state.work(0);
  uint32_t left;
  while ((left = state.unfinished.load(std::memory_order_acquire)) != 0)
    wait_change(state.unfinished, left, state.spin);
  if (state.failed.load(std::memory_order_relaxed))
    std::rethrow_exception(std::exchange(state.failure, nullptr));
}

}  // namespace monosem
