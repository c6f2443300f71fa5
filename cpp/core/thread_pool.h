#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace monosem {

/// The process' worker threads (MONOSEM_THREADS, else one per core). The calling thread is one of
/// them. Idle workers spin briefly, then sleep, so that an oversubscribed machine loses little.
class ThreadPool {
 public:
  static ThreadPool& instance();
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  /// body(begin, end, worker) over [0, count) in pieces of `grain`, claimed one by one so that a
  /// late worker costs at most its share. Returns when all are done. Pieces depend on count and
  /// grain alone, never on who runs them: what a body computes per piece is reproducible. An
  /// exception of a body is rethrown here once the others have stopped. `worker` < threads() names
  /// scratch space. A run inside a run works on the calling thread alone.
  void run(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t, int)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace monosem
