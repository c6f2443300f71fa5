// Encoding in float32. x . W_enc is computed in blocks that stay in the cache, and an epilogue
// keeps only what is active: the dense [tokens, d_sae] never exists (top k: only for a few tokens
// at a time).

#include <algorithm>

#include "core/error.h"
#include "core/thread_pool.h"
#include "cpu/isa.h"
#include "cpu/kernels/storage.h"
#include "cpu/packed_rows.h"
#include "cpu/sae_plan.h"
#include "cpu/sae_screen.h"

namespace monosem::cpu {
namespace {

// A product tile's rows and depth: 256 x 256 floats of x in the second-level cache.
constexpr int64_t kTileTokens = 256, kTileDepth = 256;
// Up to here the weights are read as they are, row by row, at memory speed.
constexpr int64_t kFewTokens = 8;
constexpr int64_t kStripFeatures = 2048;
// Dense scores of a top-k block.
constexpr int64_t kScoreBytes = 16 << 20;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool reads_rows(const Operand& w, int64_t tokens) {
  return tokens <= kFewTokens && (w.lane_stride == 1 || w.depth_stride == 1);
}

Pieces cut_features(const monosem_sae_encoder& e, const Operand& w, int64_t tokens) {
  const int64_t threads = ThreadPool::instance().threads();
  if (reads_rows(w, tokens)) {
    const int64_t strips = threads * divide_up(e.d_sae, threads * kStripFeatures);
    const int64_t width = divide_up(divide_up(e.d_sae, strips), 16) * 16;
    return {width, divide_up(e.d_sae, width)};
  }
  const int64_t panel = microkernels().tile_columns;
  const int64_t wanted = std::min(kPieceFeatures, divide_up(e.d_sae, 4 * threads));
  const int64_t width = divide_up(wanted, panel) * panel;
  return {width, divide_up(e.d_sae, width)};
}

/// Few tokens: every weight is read once, unpacked.
void sums_by_rows(const monosem_sae_encoder& e, const Operand& w, const Pieces& pieces,
                  const float* x, int64_t tokens, const Epilogue& epilogue) {
  const Microkernels& kernels = microkernels();
  const bool dot = w.depth_stride == 1;
  ThreadPool::instance().run(pieces.count, 1, [&](int64_t begin, int64_t end, int) {
    static thread_local Scratch scratch;
    float* sums = scratch.floats(tokens * pieces.width);
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first = piece * pieces.width, count = std::min(pieces.width, e.d_sae - first);
      const Operand part = w.at(first, 0);
      (dot ? kernels.dot_rows : kernels.sum_rows)(x, e.d_in, tokens, part.data, part.dtype,
                                                  dot ? part.lane_stride : part.depth_stride, count,
                                                  e.d_in, sums, pieces.width);
      epilogue(piece, first, count, 0, tokens, sums, pieces.width);
    }
  });
}

/// sums[tokens of panels p0 to p1][features] of features [first, first + count). While it
/// multiplies with one panel of weights, the tiles share the fetching of the next: straight from
/// memory it is late for its first tile, however far that looks ahead. `after` is what follows the
/// last panel.
void panel_sums(const Microkernels& kernels, const PackedRows& x, int64_t p0, int64_t p1,
                const float* w, int64_t d_in, int64_t count, const float* after, float* sums,
                int64_t stride) {
  const int64_t width = kernels.tile_columns;
  const int64_t line = divide_up(width * static_cast<int64_t>(sizeof(float)), p1 - p0);
  for (int64_t d = 0; d < x.depth_blocks(); ++d) {
    const int64_t k = x.first(d), depth = x.depth(d);
    for (int64_t column = 0; column < count; column += width) {
      const float* panel = w + column * d_in + k * width;
      const float* next = column + width < count     ? panel + width * d_in
                          : d + 1 < x.depth_blocks() ? w + (k + depth) * width
                                                     : after;
      const char* ahead = reinterpret_cast<const char*>(next);
      for (int64_t p = p0; p < p1; ++p, ahead += line * depth)
        kernels.tile[x.rows(p) - 1](depth, x.at(0, d, p), panel,
                                    sums + (x.row(p) - x.row(p0)) * stride + column, stride, d > 0,
                                    {ahead, line});
    }
  }
}

/// Many tokens: packed panels of x against packed panels of W_enc, the plan's or (null) our own.
void sums_by_panels(const monosem_sae_encoder& e, const float* w_panels, const Pieces& pieces,
                    const float* x, int64_t tokens, const Epilogue& epilogue) {
  const Microkernels& kernels = microkernels();
  const Panels layout(kernels, MONOSEM_FLOAT32, MONOSEM_FLOAT32);
  const Operand rows_of_x{x, MONOSEM_FLOAT32, e.d_in, 1};
  const PackedRows packed(
      layout, [&](int64_t) { return rows_of_x; }, 1, tokens, e.d_in, kTileDepth);
  const int64_t panels = packed.panels();
  const int64_t panels_per_tile = std::max<int64_t>(1, kTileTokens / kernels.tile_rows);
  ThreadPool::instance().run(pieces.count, 1, [&](int64_t begin, int64_t end, int) {
    static thread_local Scratch scratch, weights;
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first = piece * pieces.width, count = std::min(pieces.width, e.d_sae - first);
      const float *w, *after;
      if (w_panels != nullptr) {
        w = w_panels + first * e.d_in;
        after = w + count * e.d_in;
      } else {
        float* packed_here = weights.floats(pieces.width * e.d_in + 16);
        pack_features(e, kernels, first, count, packed_here);
        w = after = packed_here;
      }
      for (int64_t p0 = 0; p0 < panels; p0 += panels_per_tile) {
        const int64_t p1 = std::min(panels, p0 + panels_per_tile);
        const int64_t token0 = packed.row(p0), rows = packed.row(p1) - token0;
        float* sums = scratch.floats(rows * pieces.width);
        panel_sums(kernels, packed, p0, p1, w, e.d_in, count, p1 < panels ? w : after, sums,
                   pieces.width);
        epilogue(piece, first, count, token0, rows, sums, pieces.width);
      }
    }
  });
}

void feature_sums(const monosem_sae_encoder& e, PanelsUse& panels, const Pieces& pieces,
                  const float* x, int64_t tokens, const Epilogue& epilogue) {
  const Operand w = encoder_operand(e);
  if (reads_rows(w, tokens))
    sums_by_rows(e, w, pieces, x, tokens, epilogue);
  else
    sums_by_panels(e, panels.get(), pieces, x, tokens, epilogue);
}

/// Thresholded architectures: the epilogue keeps the active features.
TokenBlock threshold_block(const monosem_sae_encoder& e, PanelsUse& panels, const float* x,
                           int64_t tokens) {
  const Microkernels& kernels = microkernels();
  const Pieces pieces = cut_features(e, encoder_operand(e), tokens);
  TokenBlock block{tokens, std::vector<Hits>(pieces.count)};
  feature_sums(e, panels, pieces, x, tokens,
               [&](int64_t piece, int64_t first, int64_t count, int64_t token, int64_t rows,
                   const float* sums, int64_t stride) {
                 Hits& hits = block.pieces[piece];
                 if (token == 0) hits.start(tokens);
                 const ThresholdVectors vectors{e.gate_bias + first, e.theta + first,
                                                e.scale == nullptr ? nullptr : e.scale + first,
                                                e.bias + first};
                 for (int64_t row = 0; row < rows; ++row) {
                   hits.reserve(count);
                   hits.used += kernels.threshold(
                       sums + row * stride, count, vectors, static_cast<uint32_t>(first),
                       hits.indices.data() + hits.used, hits.values.data() + hits.used);
                   hits.end_token();
                 }
               });
  return block;
}

/// Top k: dense scores of a few tokens, then a choice per token.
TokenBlock top_k_block(const monosem_sae_encoder& e, PanelsUse& panels, const float* x,
                       int64_t tokens) {
  const Microkernels& kernels = microkernels();
  const Pieces pieces = cut_features(e, encoder_operand(e), tokens);
  const Memory<float> scores(tokens * e.d_sae);
  feature_sums(e, panels, pieces, x, tokens,
               [&](int64_t, int64_t first, int64_t count, int64_t token, int64_t rows, float* sums,
                   int64_t stride) {
                 for (int64_t row = 0; row < rows; ++row) {
                   kernels.affine(sums + row * stride, count,
                                  e.scale == nullptr ? nullptr : e.scale + first, e.bias + first);
                   std::copy_n(sums + row * stride, count,
                               scores.get() + (token + row) * e.d_sae + first);
                 }
               });
  std::vector<Hits> chosen(tokens);
  ThreadPool::instance().run(tokens, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      chosen[t].start(1);
      append_top_k(kernels, scores.get() + t * e.d_sae, e.d_sae, e.k, chosen[t]);
    }
  });
  return join_tokens(chosen);
}

}  // namespace

int64_t tokens_per_block(const monosem_sae_encoder& e) {
  return e.k > 0 ? std::clamp<int64_t>(kScoreBytes / 4 / e.d_sae, 16, kBlockTokens) : kBlockTokens;
}

TokenBlock encode_block_float32(const monosem_sae_encoder& e, PanelsUse& panels, const float* x,
                                int64_t tokens) {
  return e.k > 0 ? top_k_block(e, panels, x, tokens) : threshold_block(e, panels, x, tokens);
}

void sae_encode(EncoderPlan& plan, const float* x, int64_t tokens, int32_t precision,
                monosem_cancelled cancelled, void* context, monosem_csr& out,
                monosem_sae_stats& stats) {
  const monosem_sae_encoder& e = plan.encoder;
  const auto poll = [&] {
    if (cancelled != nullptr && cancelled(context) != 0)
      throw Error(kAborted, "the encode was aborted");
  };
  const bool screens = precision != MONOSEM_PRECISION_FLOAT32 && screen_pays(e, tokens);
  if (screens && encode_screened(plan, x, tokens, precision, poll, out, stats)) return;
  PanelsUse panels(plan, tokens);
  std::vector<TokenBlock> blocks;
  const int64_t block_tokens = tokens_per_block(e);
  for (int64_t token = 0; token < tokens; token += block_tokens) {
    poll();
    blocks.push_back(encode_block_float32(e, panels, x + token * e.d_in,
                                          std::min(block_tokens, tokens - token)));
  }
  merge_hits(blocks, tokens, e.d_sae, out);
  const double active = tokens > 0 ? static_cast<double>(out.nnz) / static_cast<double>(tokens) : 0;
  const bool rows = reads_rows(encoder_operand(e), tokens);
  const char* path = panels.refused() ? "float32 fused, packing as it goes: memory is short"
                     : screens        ? (rows ? "float32 rows: memory is short for the screen"
                                              : "float32 fused: memory is short for the screen")
                     : rows           ? "float32 rows"
                                      : "float32 fused";
  stats = {path, active, active, 0.0, 0.0, static_cast<double>(tokens)};
}

}  // namespace monosem::cpu
