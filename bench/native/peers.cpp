// The native libraries that monosem is timed beside, in a process of their own that
// bench/peers.mjs drives: a line in, a line out.
//   peers                                          -> the names, separated by commas
//   layer IN OUT FILE W_AT BIAS_AT RELU            -> ok    float32 at those bytes of a file
//   input TOKENS FILE                              -> ok    float32 [tokens, in]
//   run NAME                                       -> milliseconds
//   sum NAME                                       -> the sum of the last run's output

#include "peers.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#endif

namespace monosem::bench {

std::map<std::string, MakePeer>& peers() {
  static std::map<std::string, MakePeer> all;
  return all;
}

void pin([[maybe_unused]] int64_t thread, [[maybe_unused]] int64_t core) {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core % std::thread::hardware_concurrency(), &set);
  sched_setaffinity(static_cast<pid_t>(thread), sizeof set, &set);
#endif
}

namespace {

/// A core for each thread that a library started, beside the main one. Woken together, threads may
/// share a core until the scheduler's next tick, which is longer than many runs.
void pin_new_threads() {
#if defined(__linux__)
  static std::set<int64_t> known;
  int64_t core = known.empty() ? 0 : 1;
  std::set<int64_t> threads;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
    threads.insert(std::stoll(entry.path().filename()));
  for (const int64_t thread : threads)
    if (known.insert(thread).second) pin(thread, core++);
#endif
}

std::vector<float> read_floats(const std::string& path, int64_t offset, int64_t count) {
  std::ifstream file(path, std::ios::binary);
  std::vector<float> values(count);
  file.seekg(offset);
  file.read(reinterpret_cast<char*>(values.data()), count * 4);
  if (!file) throw std::runtime_error("cannot read " + path);
  return values;
}

class Session {
 public:
  std::string answer(std::istringstream& line) {
    std::string command;
    line >> command;
    if (command == "peers") return names();
    if (command == "layer") return read_layer(line);
    if (command == "input") return read_input(line);
    std::string name;
    std::getline(line >> std::ws, name);
    if (command == "run") return run(name);
    if (command == "sum") return sum(name);
    throw std::runtime_error("unknown command " + command);
  }

 private:
  static std::string names() {
    std::string list;
    for (const auto& [name, make] : peers()) list += (list.empty() ? "" : ",") + name;
    return list;
  }

  std::string read_layer(std::istringstream& line) {
    std::string path;
    int64_t w_at, bias_at;
    ready_.clear();
    line >> layer_.in >> layer_.out >> path >> w_at >> bias_at >> layer_.relu;
    w_ = read_floats(path, w_at, layer_.in * layer_.out);
    bias_ = read_floats(path, bias_at, layer_.out);
    return "ok";
  }

  std::string read_input(std::istringstream& line) {
    std::string path;
    ready_.clear();
    line >> layer_.tokens >> path;
    x_ = read_floats(path, 0, layer_.tokens * layer_.in);
    layer_.w = w_.data();
    layer_.bias = bias_.data();
    layer_.x = x_.data();
    return "ok";
  }

  /// Prepares its weights the first time.
  Peer& peer(const std::string& name) {
    auto& made = ready_[name];
    if (!made) {
      made = peers().at(name)(layer_);
      made->run();
      pin_new_threads();
    }
    return *made;
  }

  std::string run(const std::string& name) {
    Peer& one = peer(name);
    const auto start = std::chrono::steady_clock::now();
    one.run();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    return std::to_string(took.count());
  }

  std::string sum(const std::string& name) {
    const float* y = peer(name).output();
    double total = 0;
    for (int64_t i = 0; i < layer_.tokens * layer_.out; ++i) total += y[i];
    return std::to_string(total);
  }

  DenseLayer layer_{};
  std::vector<float> w_, bias_, x_;
  std::map<std::string, std::unique_ptr<Peer>> ready_;
};

}  // namespace
}  // namespace monosem::bench

int main() {
#if defined(__linux__)
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // we are stopped between runs, and would outlive who drives us
#endif
  monosem::bench::pin_new_threads();
  monosem::bench::Session session;
  std::string line;
  while (std::getline(std::cin, line)) {
    try {
      std::istringstream words(line);
      std::cout << session.answer(words) << std::endl;
    } catch (const std::exception& error) {
      std::cout << "error: " << error.what() << std::endl;
    }
  }
}
