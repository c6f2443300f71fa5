/* The line between the core and what computes: one table of C functions per backend.
 *
 * Only fixed-width types, opaque handles and status codes cross it; no exception, no C++ object and
 * no allocation made on one side is freed on the other (except through `free` of the same table).
 * The CPU backend fills the table in-process, the CUDA backend from a shared object of its own.
 *
 * Contract of every operation
 *  - It is called from one thread at a time per device (the core's stream), in program order. It
 * may return before its work is done as long as later calls on the same device see its effects.
 *  - Shapes, dtypes and bounds were checked by the core. A backend may assume what is written here.
 *  - Views may have any strides, including 0 (broadcast) on sources. Arithmetic is in float32
 * whatever the storage; float16 and bfloat16 round to nearest even when stored. A product of two
 * bfloat16 matrices may take subnormal values and sums for zero.
 *  - Sums run in an order that depends only on shapes and the number of threads: results are
 * bitwise reproducible for one device. */
#ifndef MONOSEM_CORE_BACKEND_H_
#define MONOSEM_CORE_BACKEND_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MONOSEM_BACKEND_ABI 2
#define MONOSEM_MAX_RANK 8

typedef enum {
  MONOSEM_OK = 0,
  MONOSEM_ERR_NO_DEVICE = 1,
  MONOSEM_ERR_OUT_OF_MEMORY = 2,
  MONOSEM_ERR_INVALID_ARGUMENT = 3,
  MONOSEM_ERR_UNSUPPORTED = 4,
  MONOSEM_ERR_DRIVER = 5, /* the device or its driver failed */
  MONOSEM_ERR_ABORTED = 6,
} monosem_status;

typedef enum {
  MONOSEM_FLOAT32 = 0,
  MONOSEM_FLOAT16 = 1,
  MONOSEM_BFLOAT16 = 2,
  MONOSEM_INT32 = 3,
} monosem_dtype;

typedef struct monosem_device monosem_device; /* an opened device with its stream and memory */
typedef struct monosem_sae_plan
    monosem_sae_plan; /* the prepared weights of one SAE on one device */

/* A strided window on device memory. Strides count elements. */
typedef struct {
  void* data; /* element [0, 0, ...] of the view */
  int32_t dtype;
  int32_t rank;
  int64_t shape[MONOSEM_MAX_RANK];
  int64_t stride[MONOSEM_MAX_RANK];
} monosem_view;

typedef struct {
  char name[128];
  char reason[256]; /* why the device cannot be used; empty when it can */
  uint64_t total_memory;
  int32_t capability_major, capability_minor; /* CUDA; 0 on the CPU */
  int32_t units;                              /* threads of the pool, or multiprocessors */
  char detail[128];                           /* instruction set in use, driver version */
} monosem_device_info;

typedef enum {
  MONOSEM_NEG,
  MONOSEM_ABS,
  MONOSEM_SQRT,
  MONOSEM_EXP,
  MONOSEM_LOG,
  MONOSEM_RELU,
  MONOSEM_POW,       /* x ^ parameter */
  MONOSEM_GELU,      /* exact: x/2 (1 + erf(x / sqrt 2)) */
  MONOSEM_GELU_TANH, /* GPT-2's gelu_new */
  MONOSEM_SILU,
  MONOSEM_TANH,
  MONOSEM_SOFTCAP, /* parameter * tanh(x / parameter) */
} monosem_unary;

typedef enum {
  MONOSEM_ADD,
  MONOSEM_SUB,
  MONOSEM_MUL,
  MONOSEM_DIV,
  MONOSEM_GT,
  MONOSEM_LT,
  MONOSEM_EQ, /* 0 or 1 */
} monosem_binary;

/* NaN counts as the largest value in max, argmax and topk, as in PyTorch. */
typedef enum {
  MONOSEM_SUM,
  MONOSEM_MEAN,
  MONOSEM_MAX,
  MONOSEM_NORM2,
  MONOSEM_ARGMAX
} monosem_reduce;

/* c[b,i,j] = act(alpha * sum_k a[b,i,k] b[b,k,j] + bias[j]); float32 accumulation. */
typedef struct {
  monosem_view a, b, c; /* rank 3 */
  const float* bias;    /* [n] float32, or null */
  float alpha;
  int32_t activation; /* a monosem_unary, or -1 */
} monosem_gemm;

typedef enum { MONOSEM_LAYER_NORM, MONOSEM_RMS_NORM } monosem_norm_kind;

/* Per row of x [rows, d]: scale = sqrt(mean((x - mu)^2) + eps) (mu = 0 for RMS), normalized =
 * (x - mu) / scale, out = normalized * (weight + weight_offset) + bias. */
typedef struct {
  monosem_view x, out;       /* [rows, d]; out.data may be null */
  monosem_view weight, bias; /* [d]; data null when absent (weight 1, bias 0) */
  monosem_view scale;        /* [rows] float32; data null when nobody looks */
  monosem_view normalized;   /* [rows, d] float32; data null when nobody looks */
  float eps, weight_offset;  /* Gemma stores weight - 1: offset 1 */
  int32_t kind;
} monosem_norm;

/* out = x with its first 2 * half dimensions rotated: pairs (i, i + half), angle tables
 * cos/sin [table positions, half] float32, row positions[b, p]. The rest passes through. */
typedef struct {
  monosem_view x, out;    /* [b, p, n, d_head] */
  monosem_view cos, sin;  /* [positions, half] */
  monosem_view positions; /* [b, p] int32 */
} monosem_rope;

/* Causal attention. Key j is visible to query i (at absolute place i + keys - queries) iff
 * j <= place, j > place - window (window > 0) and mask[b, j] != 0 (mask.data non-null).
 * A row with no visible key is zero. Query head h reads key head h / (heads / key heads). */
typedef struct {
  monosem_view q;       /* [b, p, n, d_head] */
  monosem_view k, v;    /* [b, s, n_kv, d_head] */
  monosem_view mask;    /* [b, s] int32 */
  monosem_view scores;  /* attention: unused. attention_scores: [b, n, p, s] float32 out */
  monosem_view out;     /* attention: [b, p, n, d_head] */
  float scale, softcap; /* softcap 0: none. score = cap * tanh(scale q.k / cap) */
  int64_t window;       /* 0: none */
} monosem_attention;

/* Sparse activations: compressed rows, one per token, features ascending within a row.
 * The three arrays are device memory of the backend that made them; nnz is known on the host. */
typedef struct {
  int64_t tokens, d_sae, nnz;
  uint32_t* row_offsets; /* [tokens + 1] */
  uint32_t* indices;     /* [nnz] */
  float* values;         /* [nnz] */
} monosem_csr;

typedef enum {
  MONOSEM_ZERO, /* listed features become 0 (their entries vanish) */
  MONOSEM_SET,  /* ... become `value` in every token */
  MONOSEM_PLUS, /* ... grow by `value` in every token */
  MONOSEM_SCALE,
  MONOSEM_KEEP, /* every other feature becomes 0 */
} monosem_intervention;

typedef enum {
  MONOSEM_NORMALIZE_NONE = 0,
  MONOSEM_NORMALIZE_CONSTANT_NORM = 1, /* x * sqrt(d) / |x| ; stats = {sqrt(d)/|x|, 0} */
  MONOSEM_NORMALIZE_LAYER_NORM = 2, /* (x - mu) / (std + 1e-5), unbiased std; stats = {std, mu} */
  MONOSEM_NORMALIZE_SCALAR = 3,     /* x * factor */
} monosem_normalize;

typedef enum {
  MONOSEM_STRICT = 0,    /* fp32's active set and values, by screen and refine where that pays */
  MONOSEM_CERTIFIED = 1, /* fp32's active set; certain values carry the screen's error */
  MONOSEM_FAST = 2,      /* the 16-bit screen alone */
  MONOSEM_PRECISION_FLOAT32 = 3,
} monosem_precision;

/* One SAE's encoder. Every architecture is these vectors. With acc[f] = x . W_enc[:, f]:
 *   thresholded (k = 0): active iff not (acc + gate_bias[f] <= theta[f]);
 *                        value  = relu(acc * scale[f] + bias[f]), dropped when 0
 *   top k  (k > 0):      the k largest acc * scale[f] + bias[f] (ties: lowest index), then relu
 * standard: gate_bias = bias = b_enc, theta = 0. jumprelu: theta = max(threshold, 0).
 * gated: gate_bias = b_gate, scale = exp(r_mag), bias = b_mag.
 * topk with rescale_acts_by_decoder_norm: scale = |W_dec row|, bias = b_enc * scale.
 * NaN is never below a threshold: a NaN pre-activation stays active and is NaN, as upstream.
 * All vectors are float32 [d_sae]; the plan keeps pointers, the core keeps them alive. */
typedef struct {
  int64_t d_in, d_sae;
  monosem_view w_enc; /* [d_in, d_sae], any strides and float dtype */
  const float* gate_bias;
  const float* theta;
  const float* scale; /* null: 1 */
  const float* bias;
  const float* center; /* [d_in]: mean input after the pre-pass, for the screen's margin; null: 0 */
  int64_t k;
} monosem_sae_encoder;

typedef struct {
  const char* path;  /* what ran: "float32 fused", "amx screen + refine", ... (static string) */
  double candidates; /* per token */
  double active;     /* per token */
  double ambiguous;  /* share of candidates within the margin of the threshold */
  double error_to_margin; /* largest |refined - screened| / margin seen */
  double tokens;
} monosem_sae_stats;

/* Bytes of a plan's prepared forms now in memory; 0 for those not built, released, or of another
 * backend. Per weight of W_enc: */
typedef struct {
  uint64_t float32_panels; /* CPU: 4. What the fused float32 kernel streams */
  uint64_t screen;         /* CPU: 1, and 4 for at most one input dimension in 64 */
  uint64_t rows;           /* CPU: its own dtype's, where W_enc is not stored feature by feature */
  uint64_t float16_planes; /* CUDA: 2 for a 16-bit dtype, else 4 */
} monosem_sae_forms;

/* out = denormalise(recons), recons = sum_f values[f] * row_scale[f] * w_dec[f, :] + b_dec,
 * error = x - out. Rows are gathered in ascending feature order. */
typedef struct {
  const monosem_csr* acts;
  monosem_view w_dec;     /* [d_sae, d_out], rows contiguous, any float dtype */
  const float* row_scale; /* [d_sae] or null: 1 */
  const float* b_dec;     /* [d_out] or null: 0 */
  int32_t normalize;      /* monosem_normalize to undo */
  const float* stats;     /* [tokens, 2] of the pre-pass, for CONSTANT_NORM and LAYER_NORM */
  float factor;           /* for SCALAR */
  float* recons;          /* [tokens, d_out] before denormalising, or null */
  float* out;             /* [tokens, d_out] */
  const float* x;         /* [tokens, d_out] the original, or null */
  float* error;           /* [tokens, d_out] or null; needs x */
} monosem_decode;

/* Returns nonzero when the work should stop; polled between blocks of tokens. Null: never. */
typedef int32_t (*monosem_cancelled)(void* context);

typedef struct {
  uint32_t abi;  /* MONOSEM_BACKEND_ABI of the side that filled the table */
  uint32_t size; /* sizeof(monosem_backend) of that side */
  const char* name;
  int32_t host_memory; /* 1: device addresses are host addresses, as on the CPU */

  /* ---- devices and memory */
  int32_t (*device_count)(void); /* negative: none, last_error says why */
  monosem_status (*device_info)(int32_t index, monosem_device_info* out);
  monosem_status (*device_open)(int32_t index, monosem_device** out);
  void (*device_close)(monosem_device*);
  monosem_status (*alloc)(monosem_device*, size_t bytes,
                          void** out);  /* any thread; 64-byte aligned */
  void (*free)(monosem_device*, void*); /* any thread */
  void (*memory)(monosem_device*, uint64_t* in_use, uint64_t* cached);
  void (*trim)(monosem_device*); /* gives cached memory back */
  monosem_status (*upload)(monosem_device*, void* dst, const void* src, size_t bytes);
  monosem_status (*download)(monosem_device*, void* dst, const void* src,
                             size_t bytes); /* blocks */
  monosem_status (*synchronize)(monosem_device*);
  const char* (*last_error)(void); /* of this thread, valid until its next call */

  /* ---- tensors */
  monosem_status (*copy)(monosem_device*, const monosem_view* dst, const monosem_view* src);
  monosem_status (*fill)(monosem_device*, const monosem_view* dst, double value);
  monosem_status (*randn)(monosem_device*, const monosem_view* dst, uint64_t seed);
  monosem_status (*unary)(monosem_device*, int32_t op, const monosem_view* dst,
                          const monosem_view* src, float parameter);
  monosem_status (*binary)(monosem_device*, int32_t op, const monosem_view* dst,
                           const monosem_view* a, const monosem_view* b);
  /* src [outer, n, inner] -> dst [outer, inner]; argmax writes int32 */
  monosem_status (*reduce)(monosem_device*, int32_t op, const monosem_view* dst,
                           const monosem_view* src);
  /* over the last dimension of rank-2 views */
  monosem_status (*softmax)(monosem_device*, const monosem_view* dst, const monosem_view* src,
                            int32_t logarithm);
  monosem_status (*topk)(monosem_device*, const monosem_view* values, const monosem_view* indices,
                         const monosem_view* src, int64_t k);
  /* dst[i, :] = src[rows[i], :] ; rows int32, checked by the backend: out of range -> NaN row */
  monosem_status (*gather_rows)(monosem_device*, const monosem_view* dst, const monosem_view* src,
                                const monosem_view* rows);
  /* dst[i, j] = src[i, columns[i, j]] */
  monosem_status (*gather)(monosem_device*, const monosem_view* dst, const monosem_view* src,
                           const monosem_view* columns);
  /* dst[i, columns[i, j]] += src[i, j]; columns of one row differ */
  monosem_status (*scatter_add)(monosem_device*, const monosem_view* dst, const monosem_view* src,
                                const monosem_view* columns);

  /* ---- the transformer */
  monosem_status (*gemm)(monosem_device*, const monosem_gemm*);
  monosem_status (*norm)(monosem_device*, const monosem_norm*);
  monosem_status (*rope)(monosem_device*, const monosem_rope*);
  monosem_status (*attention)(monosem_device*, const monosem_attention*);
  monosem_status (*attention_scores)(monosem_device*, const monosem_attention*); /* masked: -inf */

  /* ---- sparse activations; `out` arrays are allocated by the call */
  monosem_status (*csr_from_dense)(monosem_device*, const monosem_view* dense, monosem_csr* out);
  monosem_status (*csr_to_dense)(monosem_device*, const monosem_csr*, const monosem_view* dense);
  monosem_status (*csr_count)(monosem_device*, const monosem_csr*,
                              float* out); /* [tokens], non-zeros */
  monosem_status (*csr_rows)(monosem_device*, const monosem_csr*, const int64_t* rows,
                             int64_t count, monosem_csr* out); /* rows: host memory */
  monosem_status (*csr_intervene)(
      monosem_device*, const monosem_csr*, int32_t intervention, const uint32_t* features,
      int64_t count, float value,
      monosem_csr* out); /* features: host memory, ascending, distinct */

  /* ---- the SAE */
  monosem_status (*sae_plan)(monosem_device*, const monosem_sae_encoder*, monosem_sae_plan** out);
  void (*sae_plan_free)(monosem_device*, monosem_sae_plan*);
  void (*sae_plan_forms)(const monosem_sae_plan*, monosem_sae_forms* out);
  /* x [tokens, d_in] any dtype -> out [tokens, d_in] contiguous float32: normalise, then minus
   * b_dec (null: 0). stats [tokens, 2] (null when the mode needs none). */
  monosem_status (*sae_input)(monosem_device*, const monosem_view* x, int32_t normalize,
                              float factor, const float* b_dec, float* out, float* stats);
  /* x [tokens, d_in] contiguous float32, after sae_input */
  monosem_status (*sae_encode)(monosem_device*, monosem_sae_plan*, const float* x, int64_t tokens,
                               int32_t precision, monosem_cancelled cancelled, void* context,
                               monosem_csr* out, monosem_sae_stats* stats);
  monosem_status (*sae_decode)(monosem_device*, const monosem_decode*);
} monosem_backend;

typedef const monosem_backend* (*monosem_backend_entry)(void); /* symbol: monosem_backend_get */

const monosem_backend* monosem_backend_cpu(void);

#ifdef __cplusplus
}
#endif

#endif /* MONOSEM_CORE_BACKEND_H_ */
