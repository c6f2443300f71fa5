// Sparse feature activations as compressed rows. Whatever makes rows of unknown length runs twice
// over the tokens: once to count, once to write; the arrays are exactly as long as needed.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <string>

#include "core/error.h"
#include "cpu/row_kernels.h"
#include "cpu/scratch.h"
#include "cpu/view.h"

namespace monosem::cpu {
namespace {

/// One token's entries, features ascending.
struct Entries {
  const uint32_t* indices;
  const float* values;
  int64_t count;
};

Entries entries(const monosem_csr& csr, int64_t token) {
  const int64_t begin = csr.row_offsets[token];
  return {csr.indices + begin, csr.values + begin, int64_t{csr.row_offsets[token + 1]} - begin};
}

/// Counts entries, then writes them to the same call's result.
struct Counter {
  uint32_t count = 0;
  void operator()(uint32_t, float value) { count += value != 0.0f; }
};
struct Writer {
  uint32_t* indices;
  float* values;
  /// Zeros are not entries. NaN is.
  void operator()(uint32_t feature, float value) {
    if (value == 0.0f) return;
    *indices++ = feature;
    *values++ = value;
  }
};

/// Builds rows from `emit_row(token, emit)`, which calls emit(feature, value) in ascending order
/// and is run twice. `work` is the simple work of one token.
template <class EmitRow>
monosem_csr build(int64_t tokens, int64_t d_sae, int64_t work, const EmitRow& emit_row) {
  Memory<uint32_t> offsets(tokens + 1);
  offsets[0] = 0;
  parallel(tokens, work, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      Counter counter;
      emit_row(token, counter);
      offsets[token + 1] = counter.count;
    }
  });
  uint64_t nnz = 0;
  for (int64_t token = 0; token < tokens; ++token) {
    nnz += offsets[token + 1];
    offsets[token + 1] = static_cast<uint32_t>(nnz);
  }
  if (nnz > std::numeric_limits<uint32_t>::max())
    throw Error(kUnsupported, "expected fewer than 2^32 active features in one FeatureActs, got " +
                                  std::to_string(nnz) + ": work on fewer tokens at a time");
  const auto total = static_cast<int64_t>(nnz);
  Memory<uint32_t> indices(total);
  Memory<float> values(total);
  parallel(tokens, work, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      Writer writer{indices.get() + offsets[token], values.get() + offsets[token]};
      emit_row(token, writer);
    }
  });
  return {tokens, d_sae, total, offsets.release(), indices.release(), values.release()};
}

constexpr int64_t kStretch = 32;

/// Most stretches of a dense tensor of activations are. All bits but the sign, joined: cheaper than
/// comparing.
bool all_zero(const float* x) {
  uint32_t bits = 0;
  for (int64_t i = 0; i < kStretch; ++i) bits |= std::bit_cast<uint32_t>(x[i]) << 1;
  return bits == 0;
}

int64_t entries_per_token(const monosem_csr& csr) {
  return csr.tokens > 0 ? csr.nnz / csr.tokens + 1 : 1;
}

}  // namespace

void csr_from_dense(const View& dense, monosem_csr& out) {
  const int64_t d_sae = dense.shape[1];
  out = build(dense.shape[0], d_sae, d_sae, [&](int64_t token, auto& emit) {
    const Run run = row(dense, token);
    float scratch[kRun];
    for (int64_t first = 0; first < d_sae; first += kRun) {
      const int64_t n = std::min(kRun, d_sae - first);
      const float* x = read(run.from(first), n, scratch);
      for (int64_t j = 0; j < n; j += kStretch) {
        const int64_t stretch_end = std::min(n, j + kStretch);
        if (stretch_end - j == kStretch && all_zero(x + j)) continue;
        for (int64_t i = j; i < stretch_end; ++i) emit(static_cast<uint32_t>(first + i), x[i]);
      }
    }
  });
}

void csr_to_dense(const monosem_csr& csr, const View& dense) {
  parallel(csr.tokens, csr.d_sae, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const Run to = row(dense, token);
      float zeros[kRun] = {};
      for (int64_t first = 0; first < csr.d_sae; first += kRun)
        store(to.from(first), std::min(kRun, csr.d_sae - first), zeros);
      const Entries from = entries(csr, token);
      for (int64_t i = 0; i < from.count; ++i) store(to.from(from.indices[i]), 1, from.values + i);
    }
  });
}

void csr_count(const monosem_csr& csr, float* out) {
  parallel(csr.tokens, entries_per_token(csr), [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const Entries from = entries(csr, token);
      out[token] = static_cast<float>(
          std::count_if(from.values, from.values + from.count, [](float v) { return v != 0.0f; }));
    }
  });
}

void csr_rows(const monosem_csr& csr, const int64_t* rows, int64_t count, monosem_csr& out) {
  out = build(count, csr.d_sae, entries_per_token(csr), [&](int64_t i, auto& emit) {
    const Entries from = entries(csr, rows[i]);
    for (int64_t j = 0; j < from.count; ++j) emit(from.indices[j], from.values[j]);
  });
}

void csr_intervene(const monosem_csr& csr, int32_t intervention, const uint32_t* features,
                   int64_t count, float value, monosem_csr& out) {
  // What a listed feature becomes; an entry that is absent counts as 0.
  auto changed = [=](float old) {
    switch (intervention) {
      case MONOSEM_SET:
        return value;
      case MONOSEM_PLUS:
        return old + value;
      case MONOSEM_SCALE:
        return old * value;
      case MONOSEM_KEEP:
        return old;
      default:
        return 0.0f;
    }
  };
  const bool inserts = intervention == MONOSEM_SET || intervention == MONOSEM_PLUS;
  const bool keeps_others = intervention != MONOSEM_KEEP;
  const int64_t work = 2 * (entries_per_token(csr) + count);
  out = build(csr.tokens, csr.d_sae, work, [&](int64_t token, auto& emit) {
    const Entries from = entries(csr, token);
    int64_t listed = 0;
    for (int64_t i = 0; i < from.count; ++i) {
      const uint32_t feature = from.indices[i];
      for (; listed < count && features[listed] < feature; ++listed)
        if (inserts) emit(features[listed], value);
      const bool is_listed = listed < count && features[listed] == feature;
      listed += is_listed;
      if (is_listed) {
        emit(feature, changed(from.values[i]));
      } else if (keeps_others) {
        emit(feature, from.values[i]);
      }
    }
    for (; inserts && listed < count; ++listed) emit(features[listed], value);
  });
}

}  // namespace monosem::cpu
