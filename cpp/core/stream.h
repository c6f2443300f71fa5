#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "core/error.h"

namespace monosem {

/// What failed among the commands of one thread and has not been told yet. Streams are shared by
/// all threads of the process; each learns of its own failures only.
class Lane {
 public:
  /// The calling thread's.
  static const std::shared_ptr<Lane>& current();
  void fail(const Error& error);
  /// The first failure since the last take, if any.
  std::optional<Error> take();

 private:
  std::mutex mutex_;
  std::optional<Error> failure_;
};

/// A native thread that runs commands in the order in which they were pushed.
class Stream {
 public:
  Stream();

  /// Queues a command. What it throws is kept in the pushing thread's lane, with `operation` named.
  void push(const char* operation, std::function<void()> command);

  /// Queues the end of a wait: `done` runs on the stream's thread after everything pushed so far,
  /// with the lane's failure if there was one. It must not throw.
  void notify(std::function<void(const std::optional<Error>&)> done);

  /// Blocks until everything pushed so far has run; throws the lane's failure.
  void wait();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace monosem
