#pragma once

// From lists of entries in any order to compressed rows: count, add up, place by rank.

#include "device.cuh"

namespace monosem::cuda {

/// What the host needs to know of a list of counts.
struct Totals {
  uint64_t entries;
  uint32_t largest;
  uint32_t above;  // how many counts exceed `limit`; their numbers are listed
};

/// offsets[i] = first + counts[0] + ... + counts[i - 1] for i = 0 .. n, where a count above `limit`
/// counts as itself and its number goes to `above` (null: no list). Waits for the result.
Totals add_up(Device& device, const uint32_t* counts, int64_t n, uint32_t first, uint32_t limit,
              uint32_t* offsets, int32_t* above);

/// One list of (feature, value bits) per row; a row's features differ from each other.
struct EntryLists {
  const uint2* entries;
  int64_t stride;  // list i begins at entries + i * stride + (starts ? starts[i] : 0)
  const uint32_t* starts;
  const uint32_t* counts;  // [lists]
  const int32_t* rows;     // the row of list i; null: i
};

/// Rows to be filled: row r begins at indices[row_offsets[r] - first], values alike.
struct Rows {
  int64_t d_sae;
  const uint32_t* row_offsets;
  uint32_t first;
  uint32_t* indices;
  float* values;
};

/// Writes each list into its row by ascending feature. Lists of more than `limit` entries are left
/// out.
void place_by_rank(Device& device, const EntryLists& lists, int64_t count, uint32_t limit,
                   const Rows& rows);

/// Throws if a result of so many entries has no 32-bit offsets.
void check_entries(uint64_t entries);

/// Arrays for the rows that `offsets` describes; `out` owns them and `offsets` alike.
void allocate_csr(Device& device, int64_t tokens, int64_t d_sae, const Totals& totals,
                  Scratch<uint32_t>& offsets, monosem_csr* out);

constexpr uint32_t kNoLimit = 0xffffffffu;

}  // namespace monosem::cuda
