#include "core/thread_pool.h"

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "cpu/isa.h"
#include "test/check.h"

using monosem::ThreadPool;

TEST(thread_pool_runs_every_piece_once) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads, pool.threads());
    for (int64_t count : {0, 1, 7, 100, 1001})
      for (int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> seen(count);
        pool.run(count, grain, [&](int64_t begin, int64_t end, int worker) {
          CHECK(begin % grain == 0 && end == std::min(count, begin + grain), begin << ' ' << end);
          CHECK(worker >= 0 && worker < threads, worker);
          for (int64_t i = begin; i < end; ++i) ++seen[i];
        });
        for (const auto& times : seen) CHECK(times == 1, times);
      }
  }
}

TEST(thread_pool_survives_many_small_jobs_and_oversubscription) {
  // 16 threads on whatever cores there are, and several callers at once.
  ThreadPool pool(16);
  std::vector<std::thread> callers;
  std::atomic<int64_t> total{0};
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&] {
      for (int job = 0; job < 200; ++job)
        pool.run(20, 1, [&](int64_t begin, int64_t, int) { total += begin; });
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(total == 4 * 200 * 190, total);
}

TEST(thread_pool_rethrows_and_goes_on) {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    bool caught = false;
    try {
      pool.run(100, 1, [](int64_t begin, int64_t, int) {
        if (begin == 17) throw std::runtime_error("seventeen");
      });
    } catch (const std::runtime_error& error) {
      caught = std::string(error.what()) == "seventeen";
    }
    CHECK(caught, "the body's exception did not arrive");
    std::atomic<int> pieces{0};
    pool.run(10, 1, [&](int64_t, int64_t, int) { ++pieces; });
    CHECK(pieces == 10, pieces);
  }
}

TEST(thread_pool_nested_runs_stay_on_their_thread) {
  ThreadPool pool(4);
  std::atomic<int64_t> sum{0};
  pool.run(8, 1, [&](int64_t, int64_t, int outer) {
    const std::thread::id thread = std::this_thread::get_id();
    pool.run(5, 2, [&](int64_t begin, int64_t end, int inner) {
      CHECK(std::this_thread::get_id() == thread && inner == outer, "ran elsewhere");
      sum += end - begin;
    });
  });
  CHECK(sum == 40, sum);
}

TEST(thread_pool_refuses_a_foolish_number_of_threads) {
  for (int threads : {0, -3, 1 << 20}) {
    const char* code = "";
    try {
      ThreadPool pool(threads);
    } catch (const monosem::Error& error) {
      code = error.code();
    }
    CHECK(std::string(code) == monosem::kInvalidArgument, threads << " threads: " << code);
  }
}

TEST(isa_names_what_runs_here) {
  std::string text;
  try {
    monosem::cpu::set_isa("sse9");
  } catch (const monosem::Error& error) {
    text = error.what();
  }
  CHECK(text.find("sse9") != std::string::npos && text.find("scalar") != std::string::npos, text);
}
