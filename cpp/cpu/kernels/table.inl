// The table of one instruction set, from the loops of the other files.

template <int kRows, int kVectors>
constexpr void fill_tiles(Microkernels& table) {
  table.tile[kRows - 1] = gemm_tile<kRows, kVectors>;
  if constexpr (kRows > 1) fill_tiles<kRows - 1, kVectors>(table);
}

template <int kRows, int kVectors>
constexpr Microkernels make_table(const char* isa, int digit_bits) {
  Microkernels table{};
  table.isa = isa;
  table.tile_rows = kRows;
  table.tile_columns = kVectors * Simd::kLanes;
  fill_tiles<kRows, kVectors>(table);
  table.interleave = interleave;
  table.split_columns = split_columns;
  table.split_column_pairs = split_column_pairs;
  table.to_float32 = to_float32;
  table.dot_rows = dot_rows;
  table.sum_rows = sum_rows;
  table.gather_rows = gather_rows;
  table.threshold = threshold;
  table.above = above;
  table.affine = affine;
  table.digit_bits = digit_bits;
  table.digit_rows = kRows;
  table.most_kept = 32;
  table.digit_tile = digit_tile<kRows, kVectors>;
  table.largest_magnitude = largest_magnitude;
  table.quantise = quantise;
  table.candidates = candidates;
  table.dot_gathered = dot_gathered;
  return table;
}
