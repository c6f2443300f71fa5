#include "core/stream.h"

#include <condition_variable>
#include <deque>
#include <new>
#include <string>
#include <thread>

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

struct Stream::State {
  std::mutex mutex;
  std::condition_variable filled;
  std::deque<std::function<void()>> commands;
  std::thread thread;

  void push(std::function<void()> command) {
    {
      std::lock_guard lock(mutex);
      commands.push_back(std::move(command));
    }
    filled.notify_one();
  }

  void run() {
    std::deque<std::function<void()>> batch;
    for (;;) {
      {
        std::unique_lock lock(mutex);
        filled.wait(lock, [&] { return !commands.empty(); });
        batch.swap(commands);
      }
      while (!batch.empty()) {
        batch.front()();
        batch.pop_front();  // before the next: its captures hold buffers
      }
    }
  }
};

// The thread ends with the process: a stream belongs to a device, and devices are immortal.
Stream::Stream() : state_(std::make_shared<State>()) {
  state_->thread = std::thread([state = state_.get()] { state->run(); });
  state_->thread.detach();
}

void Stream::push(const char* operation, std::function<void()> command) {
  state_->push([operation, lane = Lane::current(), command = std::move(command)] {
    const auto failed = [&](const char* code, const std::string& what) {
      lane->fail(Error(code, std::string(operation) + ": " + what));
    };
    try {
      command();
    } catch (const Error& error) {
      failed(error.code(), error.what());
    } catch (const std::bad_alloc&) {
      failed(kOutOfMemory, "out of host memory");
    } catch (const std::exception& error) {
      failed(kInternal, error.what());
    }
  });
}

void Stream::notify(std::function<void(const std::optional<Error>&)> done) {
  state_->push([lane = Lane::current(), done = std::move(done)] { done(lane->take()); });
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
