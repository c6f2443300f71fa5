// The k largest of every token. A floor is guessed, a share of |x| learnt from the batches before.
// If at least k values reach it and they fitted, the k largest are among them, whatever the guess
// was: all values above the floor were kept. Tokens where it fails are encoded again with no floor.
// Bytes: 8 per value above the floor, written and read once; 8 k per token kept.

#include <algorithm>
#include <cmath>
#include <vector>

#include "encode_block.cuh"
#include "order.cuh"
#include "shared.cuh"

namespace monosem::cuda {

namespace {

// What one token taught: its k-th largest value as a share of |x| (negative: it has fewer than k),
// and how many values reached the floor.
struct Lesson {
  float share;
  uint32_t hits;
};

constexpr uint32_t kMissed = 0xffffffffu;  // as a count: the k largest are not all here
constexpr int kSelectThreads = 128;

struct Selected {
  uint32_t count;
};

struct Selection {
  EntryLists lists;
  uint32_t capacity, k;
  float floor;
  const float* norms;
  uint2* kept;       // [tokens, k]
  uint32_t* counts;  // [tokens]
  Lesson* lessons;   // [tokens]
};

// The k largest of each list, by value and then by lower feature.
__global__ void __launch_bounds__(kSelectThreads) select_kernel(Selection s) {
  const int64_t list = blockIdx.x, row = s.lists.rows != nullptr ? s.lists.rows[list] : list;
  const uint32_t n = s.lists.counts[list];
  const float norm = s.norms[row];
  if (n > s.capacity || (n < s.k && s.floor > 0.0f)) {
    if (threadIdx.x == 0) {
      s.counts[row] = kMissed;
      s.lessons[row] = {-1.0f, n};
    }
    return;
  }
  const uint2* entries = s.lists.entries + list * s.lists.stride;
  const auto key_at = [&](uint32_t i) {
    return order_key(__uint_as_float(entries[i].y), entries[i].x);
  };
  const uint64_t least = n >= s.k ? kth_largest(n, s.k, key_at) : 0;
  auto& selected = shared_memory<Selected>();
  if (threadIdx.x == 0) selected.count = 0;
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < n; i += kSelectThreads) {
    const uint64_t key = key_at(i);
    if (key < least) continue;
    s.kept[row * s.k + atomicAdd(&selected.count, 1u)] = entries[i];
    if (key == least) s.lessons[row] = {__uint_as_float(entries[i].y) / norm, n};
  }
  if (threadIdx.x == 0) {
    s.counts[row] = n < s.k ? n : s.k;
    if (n < s.k) s.lessons[row] = {-1.0f, n};
  }
}

/// Encodes and selects for `count` tokens.
void select_top_k(Device& device, const monosem_sae_plan& plan, const EncodeBlock& block,
                  int64_t count, const int32_t* rows, float floor, int64_t capacity,
                  const Selection& result) {
  const Lists lists(device, count, capacity);
  block.encode(lists, count, rows, floor);
  Selection s = result;
  s.lists = lists.entries(rows);
  s.capacity = static_cast<uint32_t>(capacity);
  s.k = static_cast<uint32_t>(plan.encoder.k);
  s.floor = floor;
  s.norms = block.norms();
  launch(device.stream(), {blocks_for(count, 1), kSelectThreads}, select_kernel, s);
}

/// A floor that all but the lowest of the lessons' tokens stay above with some distance. Returns
/// the mean number of hits.
double learn(monosem_sae_plan& plan, const std::vector<Lesson>& lessons) {
  std::vector<float> shares;
  double hits = 0.0;
  for (const Lesson& lesson : lessons) {
    hits += lesson.hits;
    if (lesson.share > 0.0f && std::isfinite(lesson.share)) shares.push_back(lesson.share);
  }
  if (!shares.empty()) {
    const auto low = shares.begin() + static_cast<int64_t>(shares.size() / 200);
    std::nth_element(shares.begin(), low, shares.end());
    const float floor = 0.9f * *low;
    plan.floor = plan.floor < 0.0f ? floor : 0.5f * (plan.floor + floor);
  }
  return hits;
}

}  // namespace

double encode_top_k(Device& device, monosem_sae_plan& plan, const EncodeBlock& block,
                    uint32_t* offsets, Parts& parts) {
  const int64_t d_sae = plan.encoder.d_sae, k = plan.encoder.k, n = block.tokens;
  const Scratch<uint2> kept(device, n * k);
  const Scratch<uint32_t> counts(device, n);
  const Scratch<Lesson> lessons(device, n);
  const Scratch<int32_t> missed(device, n);
  Selection result{};
  result.kept = kept.get();
  result.counts = counts.get();
  result.lessons = lessons.get();
  const auto lessons_of = [&](const std::vector<int32_t>& rows) {
    std::vector<Lesson> all(n), some;
    device.download(all.data(), lessons.get(), sizeof(Lesson) * n);
    for (int32_t row : rows) some.push_back(all[row]);
    return rows.empty() ? all : some;
  };

  const int64_t room = std::min(d_sae, std::max<int64_t>(16 * k, 1024));
  const bool guesses = room < d_sae;
  if (guesses && plan.floor < 0.0f) {
    std::vector<int32_t> sample;
    for (int64_t i = 0; i < std::min<int64_t>(n, 32); ++i) {
      sample.push_back(static_cast<int32_t>(i * n / std::min<int64_t>(n, 32)));
    }
    const auto size = static_cast<int64_t>(sample.size());
    device.upload(missed.get(), sample.data(), sizeof(int32_t) * size);
    select_top_k(device, plan, block, size, missed.get(), 0.0f, d_sae, result);
    learn(plan, lessons_of(sample));
  }
  const float floor = guesses ? std::max(plan.floor, 0.0f) : 0.0f;
  select_top_k(device, plan, block, n, nullptr, floor, room, result);
  const auto first = static_cast<uint32_t>(entries_of(parts));
  const auto limit = static_cast<uint32_t>(k);
  Totals totals = add_up(device, counts.get(), n, first, limit, offsets, missed.get());
  if (totals.above > 0) {
    const int64_t group = std::max<int64_t>(1, kListBytes / 8 / d_sae);
    for (int64_t i = 0; i < totals.above; i += group) {
      select_top_k(device, plan, block, std::min<int64_t>(group, totals.above - i),
                   missed.get() + i, 0.0f, d_sae, result);
    }
    totals = add_up(device, counts.get(), n, first, limit, offsets, nullptr);
  }
  const Rows rows = add_part(device, parts, totals, d_sae, offsets);
  place_by_rank(device, {kept.get(), k, nullptr, counts.get(), nullptr}, n, limit, rows);
  return guesses ? learn(plan, lessons_of({})) : static_cast<double>(totals.entries);
}

}  // namespace monosem::cuda
