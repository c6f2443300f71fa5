#include "core/stream.h"

#include <atomic>
#include <condition_variable>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace monosem {

const std::shared_ptr<Lane>& Lane::current() {
  thread_local const std::shared_ptr<Lane> lane = std::make_shared<Lane>();
  return lane;
}

void Lane::fail(const Error& error) {
  std::lock_guard lock(mutex_);
  if (!failure_) failure_ = error;
}

std::optional<Error> Lane::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(failure_, std::nullopt);
}

namespace {

// How often an idle stream looks for the next command before it sleeps (some 20 us). Waking a
// thread costs both sides several microseconds, and operations come in bursts with JavaScript in
// between.
constexpr int kLooks = 1000;

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct Command {
  const char* operation;
  std::shared_ptr<Lane> lane;
  std::function<void()> body;

  void run() {
    const auto failed = [&](const char* code, const std::string& what) {
      lane->fail(Error(code, std::string(operation) + ": " + what));
    };
    try {
      body();
    } catch (const Error& error) {
      failed(error.code(), error.what());
    } catch (const std::bad_alloc&) {
      failed(kOutOfMemory, "out of host memory");
    } catch (const std::exception& error) {
      failed(kInternal, error.what());
    }
  }
};

}  // namespace

struct Stream::State {
  std::mutex mutex;
  std::condition_variable filled;
  std::vector<Command> commands;
  std::atomic<bool> pending = false;
  bool asleep = false;
  std::thread thread;

  void push(Command command) {
    bool wake;
    {
      std::lock_guard lock(mutex);
      commands.push_back(std::move(command));
      pending.store(true, std::memory_order_release);
      wake = std::exchange(asleep, false);
    }
    if (wake) filled.notify_one();
  }

  void wait_for_commands() {
    for (int i = 0; i < kLooks; ++i) {
      if (pending.load(std::memory_order_acquire)) return;
      relax();
    }
    std::unique_lock lock(mutex);
    asleep = commands.empty();
    filled.wait(lock, [&] { return !commands.empty(); });
  }

  void run() {
    std::vector<Command> batch;
    for (;;) {
      wait_for_commands();
      {
        std::lock_guard lock(mutex);
        batch.swap(commands);
        pending.store(false, std::memory_order_release);
      }
      for (Command& command : batch) {
        command.run();
        command = {};  // before the next: it holds buffers
      }
      batch.clear();
    }
  }
};

// The thread ends with the process: a stream belongs to a device, and devices are immortal.
Stream::Stream() : state_(std::make_shared<State>()) {
  state_->thread = std::thread([state = state_.get()] { state->run(); });
  state_->thread.detach();
}

void Stream::push(const char* operation, std::function<void()> command) {
  state_->push({operation, Lane::current(), std::move(command)});
}

void Stream::notify(std::function<void(const std::optional<Error>&)> done) {
  const std::shared_ptr<Lane>& lane = Lane::current();
  state_->push({"wait", lane, [lane, done = std::move(done)] { done(lane->take()); }});
}

void Stream::wait() {
  std::mutex mutex;
  std::condition_variable reached;
  std::optional<Error> failure;
  bool over = false;
  notify([&](const std::optional<Error>& error) {
    std::lock_guard lock(mutex);
    failure = error;
    over = true;
    reached.notify_one();
  });
  std::unique_lock lock(mutex);
  reached.wait(lock, [&] { return over; });
  if (failure) throw *failure;
}

}  // namespace monosem
