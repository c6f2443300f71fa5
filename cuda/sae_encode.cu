// sae_encode: sparse activations of a batch, without the dense matrix. The product and its epilogue
// are encode_tile.cuh's; here is the order of work around it.
//
// Thresholded: the epilogue's counters run past the room that a token has, so a token that
// overflows costs nothing to notice; it alone is encoded again with room for its now known count.
//
// Top k: a floor is guessed for every token, a share of |x| learnt from the batches before. If at
// least k values reach it and they fitted, the k largest are among them, whatever the guess was:
// all values above the floor were kept. Tokens where it fails are encoded again with no floor.
//
// Values do not depend on the floor, the room or the position in a tile, so a result is the same
// bits however often its tokens were encoded.

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "compact.cuh"
#include "encode_tile.cuh"
#include "operators.cuh"
#include "order.cuh"

namespace monosem::cuda {

namespace {

// Tokens at a time: x's planes (2 x 2 B x 2304 x 4096 = 38 MB) stay in an H100's 50 MB of L2 while
// the feature tiles pass by. Cancellation is looked at in between.
constexpr int64_t kBlockTokens = 4096;
// Up to here a tile of 16 tokens, several blocks sharing their weights through L2, does less work
// than one of 128.
constexpr int64_t kFewTokens = 48;
// Room for lists of a second encoding, at a time.
constexpr int64_t kListBytes = 256 << 20;

void multiply(Device& device, const monosem_sae_plan& plan, const EncodeTask& task) {
  const bool few = task.tokens <= kFewTokens;
  if (plan.split) {
    few ? encode_tiles<SmallTile, true>(device, task) : encode_tiles<LargeTile, true>(device, task);
  } else {
    few ? encode_tiles<SmallTile, false>(device, task)
        : encode_tiles<LargeTile, false>(device, task);
  }
}

/// Hits of some tokens, as the epilogue leaves them.
struct Lists {
  Lists(Device& device, int64_t count, int64_t capacity_)
      : hits(device, count * capacity_), counts(device, count), capacity(capacity_) {}
  Scratch<uint2> hits;
  Scratch<uint32_t> counts;
  int64_t capacity;

  EntryLists entries(const int32_t* rows) const {
    return {hits.get(), capacity, nullptr, counts.get(), rows};
  }
};

/// One block of tokens: x split, and the product on demand.
class Block {
 public:
  Block(Device& device, const monosem_sae_plan& plan, const float* x, int64_t tokens_)
      : tokens(tokens_),
        device_(device),
        plan_(plan),
        depth_(padded_depth(plan.encoder.d_in)),
        high_(device, tokens * depth_),
        low_(device, tokens * depth_),
        scale_(device, tokens),
        norm_(device, tokens) {
    const int64_t d_in = plan.encoder.d_in;
    const monosem_view view{const_cast<float*>(x), MONOSEM_FLOAT32, 2, {tokens, d_in}, {d_in, 1}};
    split_rows(device, view, planes());
  }

  const int64_t tokens;
  const float* norms() const { return norm_.get(); }

  /// Fills `lists` with the active features of `count` tokens: those numbered by `rows`, or all.
  void encode(const Lists& lists, int64_t count, const int32_t* rows, float floor) const {
    const monosem_sae_encoder& e = plan_.encoder;
    check(cudaMemsetAsync(lists.counts.get(), 0, sizeof(uint32_t) * count, device_.stream()),
          "clearing the counts");
    multiply(device_, plan_,
             {planes(),
              {plan_.high.get(), plan_.low.get(), plan_.scale.get(), nullptr},
              depth_,
              count,
              e.d_sae,
              rows,
              e.gate_bias,
              e.theta,
              e.scale,
              e.bias,
              e.k > 0,
              floor,
              lists.hits.get(),
              static_cast<uint32_t>(lists.capacity),
              lists.counts.get()});
  }

 private:
  Planes planes() const { return {high_.get(), low_.get(), scale_.get(), norm_.get()}; }

  Device& device_;
  const monosem_sae_plan& plan_;
  int64_t depth_;
  Scratch<uint16_t> high_, low_;
  Scratch<float> scale_, norm_;
};

/// The result of a block: its rows' entries, in order.
struct Part {
  Part(Device& device, uint64_t entries_)
      : entries(static_cast<int64_t>(entries_)),
        indices(device, entries),
        values(device, entries) {}
  int64_t entries;
  Scratch<uint32_t> indices;
  Scratch<float> values;
};
using Parts = std::vector<std::unique_ptr<Part>>;

int64_t entries_of(const Parts& parts) {
  int64_t sum = 0;
  for (const auto& part : parts) sum += part->entries;
  return sum;
}

/// Adds the rows of `lists` as a part; offsets are the block's, from those before it on.
Rows add_part(Device& device, Parts& parts, const Totals& totals, int64_t d_sae,
              const uint32_t* offsets) {
  const int64_t before = entries_of(parts);
  check_entries(before + totals.entries);
  parts.push_back(std::make_unique<Part>(device, totals.entries));
  return {d_sae, offsets, static_cast<uint32_t>(before), parts.back()->indices.get(),
          parts.back()->values.get()};
}

void encode_threshold(Device& device, monosem_sae_plan& plan, const Block& block, uint32_t* offsets,
                      Parts& parts) {
  const int64_t d_sae = plan.encoder.d_sae, n = block.tokens;
  const Lists lists(device, n, std::min(plan.capacity, d_sae));
  const Scratch<int32_t> overflowed(device, n);
  block.encode(lists, n, nullptr, 0.0f);
  const auto room = static_cast<uint32_t>(lists.capacity);
  const Totals totals =
      add_up(device, lists.counts.get(), n, static_cast<uint32_t>(entries_of(parts)), room, offsets,
             overflowed.get());
  const Rows rows = add_part(device, parts, totals, d_sae, offsets);
  place_by_rank(device, lists.entries(nullptr), n, room, rows);
  const int64_t largest = totals.largest;
  const int64_t group = std::max<int64_t>(1, kListBytes / 8 / std::max<int64_t>(1, largest));
  for (int64_t first = 0; first < totals.above; first += group) {
    const int64_t count = std::min<int64_t>(group, totals.above - first);
    const Lists again(device, count, largest);
    block.encode(again, count, overflowed.get() + first, 0.0f);
    place_by_rank(device, again.entries(overflowed.get() + first), count, kNoLimit, rows);
  }
  // Room for a quarter more than the fullest token of this batch, but for no more than the bytes
  // that a second encoding may use.
  const int64_t wanted = std::max<int64_t>(256, (largest + largest / 4 + 31) / 32 * 32);
  plan.capacity = std::max(plan.capacity, std::min(wanted, kListBytes / 8 / kBlockTokens));
}

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
void select_top_k(Device& device, const monosem_sae_plan& plan, const Block& block, int64_t count,
                  const int32_t* rows, float floor, int64_t capacity, const Selection& result) {
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

/// Returns how many values reached the floor.
double encode_top_k(Device& device, monosem_sae_plan& plan, const Block& block, uint32_t* offsets,
                    Parts& parts) {
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

/// The parts as one result.
void join(Device& device, Parts& parts, int64_t tokens, int64_t d_sae, Scratch<uint32_t>& offsets,
          monosem_csr* out) {
  const int64_t nnz = entries_of(parts);
  if (parts.size() == 1) {
    Part& only = *parts[0];
    *out = {tokens, d_sae, nnz, offsets.take(), only.indices.take(), only.values.take()};
    return;
  }
  Part whole(device, nnz);
  int64_t at = 0;
  for (const auto& part : parts) {
    const auto copy = [&](auto* to, const auto* from) {
      check(cudaMemcpyAsync(to + at, from, 4 * part->entries, cudaMemcpyDeviceToDevice,
                            device.stream()),
            "joining the blocks");
    };
    copy(whole.indices.get(), part->indices.get());
    copy(whole.values.get(), part->values.get());
    at += part->entries;
  }
  *out = {tokens, d_sae, nnz, offsets.take(), whole.indices.take(), whole.values.take()};
}

}  // namespace

// Every precision is served by the one float32-grade product: there is no screen here to refine.
void sae_encode(Device& device, monosem_sae_plan* plan, const float* x, int64_t tokens, int32_t,
                monosem_cancelled cancelled, void* context, monosem_csr* out,
                monosem_sae_stats* stats) {
  const monosem_sae_encoder& e = plan->encoder;
  Scratch<uint32_t> offsets(device, tokens + 1);
  check(cudaMemsetAsync(offsets.get(), 0, sizeof(uint32_t), device.stream()), "clearing an offset");
  Parts parts;
  double hits = 0.0;
  for (int64_t token = 0; token < tokens; token += kBlockTokens) {
    if (cancelled != nullptr && cancelled(context) != 0) {
      throw Failure(MONOSEM_ERR_ABORTED, "the encode was aborted");
    }
    const int64_t count = std::min(kBlockTokens, tokens - token);
    const Block block(device, *plan, x + token * e.d_in, count);
    if (e.k > 0) {
      hits += encode_top_k(device, *plan, block, offsets.get() + token, parts);
    } else {
      encode_threshold(device, *plan, block, offsets.get() + token, parts);
    }
  }
  join(device, parts, tokens, e.d_sae, offsets, out);
  const double each = static_cast<double>(std::max<int64_t>(tokens, 1));
  const double active = static_cast<double>(out->nnz) / each;
  *stats = {plan->split ? "float16 x 3 fused" : "float16 x 2 fused",
            e.k > 0 ? hits / each : active,
            active,
            0.0,
            0.0,
            static_cast<double>(tokens)};
}

}  // namespace monosem::cuda
