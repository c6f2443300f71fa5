#pragma once

// The prepared forms of one SAE's encoder, and the pieces every encode path is made of.

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "cpu/form_cache.h"
#include "cpu/microkernels.h"
#include "cpu/pack.h"
#include "cpu/scratch.h"
#include "cpu/screen_form.h"

namespace monosem::cpu {

/// Forms are built on first need, by the call that needs them, and released when memory is short or
/// with the plan. One encode at a time per plan; any number of plans at once.
struct EncoderPlan {
  explicit EncoderPlan(const monosem_sae_encoder& encoder_) : encoder(encoder_) {}

  monosem_sae_encoder encoder;

  /// W_enc in float32 panels of `width` features, [panels][d_in][width], padded with zeros: what
  /// the fused kernel streams.
  struct Panels {
    Memory<float> data;
    int64_t width = 0;
  } panels;
  ScreenForm screen;

  Form panels_form{[this] { panels = {}; }};
  Form screen_form{[this] { screen.release(); }};
};

/// W_enc with features as lanes.
Operand encoder_operand(const monosem_sae_encoder& encoder);

/// The float32 panels, for one encode of `tokens`: asked for when it first needs them, kept to its
/// end.
class PanelsUse {
 public:
  PanelsUse(EncoderPlan& plan, int64_t tokens) : plan_(plan), tokens_(tokens) {}
  /// Null: memory is too short for them.
  const float* get();
  /// get() was asked, in vain.
  bool refused() const { return use_.has_value() && !*use_; }

 private:
  EncoderPlan& plan_;
  int64_t tokens_;
  std::optional<FormUse> use_;
};

/// Features [first, first + count) as panels for the kernels in use: to[count /
/// width][d_in][width].
void pack_features(const monosem_sae_encoder& encoder, const Microkernels& kernels, int64_t first,
                   int64_t count, float* to);

/// Active features of a range of features over a block of tokens, in CSR order.
struct Hits {
  std::vector<uint32_t> indices;
  std::vector<float> values;
  std::vector<uint32_t> offsets;  // [tokens + 1]
  int64_t used = 0;

  void start(int64_t tokens);
  /// Room for `count` more entries and the 16 a kernel may write beyond.
  void reserve(int64_t count);
  /// One token's entries.
  void append(const uint32_t* from_indices, const float* from_values, int64_t count);
  void end_token() { offsets.push_back(static_cast<uint32_t>(used)); }
};

/// The hits of a block of tokens: its pieces cover ascending ranges of features.
struct TokenBlock {
  int64_t tokens;
  std::vector<Hits> pieces;
};

/// One CSR from blocks of consecutive tokens.
void merge_hits(const std::vector<TokenBlock>& blocks, int64_t tokens, int64_t d_sae,
                monosem_csr& out);

/// The k largest of a stream of positive scores: NaN counts as largest, ties go to the index that
/// came first. Whatever exceeds `floor` is appended to indices/values; whenever enough has piled up
/// it is cut back to k, which raises the floor. Later equals of the floor lose their tie, so it may
/// exclude.
class TopK {
 public:
  static constexpr int64_t kChunk = 1024;  // most scores between two calls of added()

  /// Nothing seen, floor 0: selection comes before the relu, which drops what is not positive.
  void start(int64_t k);
  uint32_t* next_indices() { return indices_.data() + used_; }
  float* next_values() { return values_.data() + used_; }
  void added(int64_t count);
  /// Cuts to the final k, in the order of their arrival.
  void finish() { cut(); }

  float floor() const { return floor_; }
  int64_t size() const { return used_; }
  const uint32_t* indices() const { return indices_.data(); }
  const float* values() const { return values_.data(); }

 private:
  void cut();

  int64_t k_ = 0, used_ = 0;
  float floor_ = 0.0f;
  std::vector<uint32_t> indices_;
  std::vector<float> values_;
  std::vector<uint64_t> keys_;
};

/// Appends the k largest of scores[count] as one token.
void append_top_k(const Microkernels& kernels, const float* scores, int64_t count, int64_t k,
                  Hits& hits);

/// One block of hits from those of its tokens, each a block of one.
TokenBlock join_tokens(const std::vector<Hits>& tokens);

// How an encode cuts its work. x of a block (512 x 2304: 4.7 MB) and a piece of the weights (256
// features: 2.4 MB in float32) share the last-level cache, so the weights come from memory once per
// block. Cancellation is polled between blocks.
inline constexpr int64_t kBlockTokens = 512;
inline constexpr int64_t kPieceFeatures = 256;

/// How the features are cut: pieces of `width`, a multiple of the panels'.
struct Pieces {
  int64_t width, count;
};

/// What consumes the sums of one piece: [tokens] rows, `stride` floats apart, of features
/// [first, first + count) and consecutive tokens from `token` on. Called from the worker that
/// computed them, tokens ascending within a piece.
using Epilogue = std::function<void(int64_t piece, int64_t first, int64_t count, int64_t token,
                                    int64_t tokens, float* sums, int64_t stride)>;

/// Blocks of float32, fused: what the screen falls back to. Without panels the weights are packed
/// piece by piece, again for every block, with the same results.
TokenBlock encode_block_float32(const monosem_sae_encoder& encoder, PanelsUse& panels,
                                const float* x, int64_t tokens);
/// Tokens of a block: fewer where top k needs dense scores.
int64_t tokens_per_block(const monosem_sae_encoder& encoder);

}  // namespace monosem::cpu
