#pragma once

#include <algorithm>
#include <cstdint>

#include "core/thread_pool.h"

namespace monosem::cpu {

/// Elements of simple work worth one piece of a parallel run: about 10 us, several times what
/// waking a worker costs. Less than two pieces are done by the caller.
inline constexpr int64_t kPieceElements = 32 << 10;

/// body(begin, end) over [0, count), where one item is `elements` of simple work. The pieces depend
/// on the arguments alone, so that what a body sums per piece is reproducible.
template <class Body>
void parallel(int64_t count, int64_t elements, const Body& body) {
  if (count <= 0) return;
  int64_t grain = std::max<int64_t>(1, kPieceElements / std::max<int64_t>(1, elements));
  if (count <= grain) return body(int64_t{0}, count);
  ThreadPool::instance().run(count, grain,
                             [&](int64_t begin, int64_t end, int) { body(begin, end); });
}

}  // namespace monosem::cpu
