// The transformer's operators on the CUDA backend against fp64.

#include <cmath>

#include "test/cuda_device.h"

namespace {

using namespace monosem::test;

int64_t number(std::initializer_list<int64_t> index, const Shape& shape) {
  int64_t at = 0;
  auto extent = shape.begin();
  for (int64_t i : index) at = at * *extent++ + i;
  return at;
}

}  // namespace

TEST(cuda_norm_matches_fp64) {
  for_each_schedule([](const std::string& what) {
    Random random(71);
    for (int32_t kind : {MONOSEM_LAYER_NORM, MONOSEM_RMS_NORM}) {
      for (int64_t d : {1, 7, 300}) {
        Strided x(random_float_dtype(random), {5, d}, random), out(MONOSEM_FLOAT32, {5, d}, random);
        Strided weight(MONOSEM_FLOAT32, {d}), bias(MONOSEM_FLOAT32, {d});
        Strided scale(MONOSEM_FLOAT32, {5}), normalized(MONOSEM_FLOAT32, {5, d}, random);
        for (Strided* tensor : {&x, &weight, &bias}) tensor->fill_normal(random, 2);
        RemoteView in(x), to(out), w(weight), b(bias), s(scale), n(normalized);
        const bool plain = random.chance(0.3);
        monosem_norm norm{in.view, to.view, w.view, b.view, s.view, n.view, 1e-5f, 1.0f, kind};
        if (plain) norm.weight.data = norm.bias.data = norm.scale.data = nullptr;
        ok(cuda_table().norm(cuda_handle(), &norm));
        for (RemoteView* view : {&to, &s, &n}) view->back();
        for (int64_t row = 0; row < 5; ++row) {
          double mean = 0, squares = 0;
          for (int64_t i = 0; i < d; ++i) mean += x.get(row * d + i) / static_cast<double>(d);
          if (kind == MONOSEM_RMS_NORM) mean = 0;
          for (int64_t i = 0; i < d; ++i) squares += std::pow(x.get(row * d + i) - mean, 2);
          const double size = std::sqrt(squares / static_cast<double>(d) + 1e-5);
          if (!plain) CHECK(close(scale.get(row), size, 1e-5), what << ' ' << scale.get(row));
          for (int64_t i = 0; i < d; ++i) {
            double want = (x.get(row * d + i) - mean) / size;
            CHECK(close(normalized.get(row * d + i), want, 1e-5, 1e-5), what);
            if (!plain) want = want * (weight.get(i) + 1) + bias.get(i);
            CHECK(close(out.get(row * d + i), want, 1e-5, 2e-5),
                  what << ' ' << out.get(row * d + i));
          }
        }
      }
    }
  });
}

TEST(cuda_rope_matches_fp64) {
  for_each_schedule([](const std::string& what) {
    Random random(72);
    const Shape shape{2, 3, 2, 10};
    Strided x(MONOSEM_FLOAT32, shape, random), out(random_float_dtype(random), shape, random);
    Strided cosines(MONOSEM_FLOAT32, {8, 4}), sines(MONOSEM_FLOAT32, {8, 4});
    Strided positions(MONOSEM_INT32, {2, 3});
    for (Strided* tensor : {&x, &cosines, &sines}) tensor->fill_normal(random);
    for (int64_t i = 0; i < 6; ++i) positions.set(i, random.integer(0, 7));
    RemoteView in(x), to(out), c(cosines), s(sines), p(positions);
    const monosem_rope rope{in.view, to.view, c.view, s.view, p.view};
    ok(cuda_table().rope(cuda_handle(), &rope));
    to.back();
    for (int64_t i = 0; i < x.size(); ++i) {
      const int64_t dim = i % 10, row = positions.get(i / 20) * 4;
      double want = x.get(i);
      if (dim < 4) want = x.get(i) * cosines.get(row + dim) - x.get(i + 4) * sines.get(row + dim);
      if (dim >= 4 && dim < 8) {
        want = x.get(i) * cosines.get(row + dim - 4) + x.get(i - 4) * sines.get(row + dim - 4);
      }
      CHECK(close(out.get(i), want, 1e-5 + rounding(out.view.dtype), 1e-6),
            what << ' ' << out.get(i));
    }
  });
}

TEST(cuda_attention_matches_fp64) {
  for_each_schedule([](const std::string& what) {
    Random random(73);
    for (const auto& [queries, keys, window, softcap] :
         {std::tuple{1, 1, 0, 0.0f}, {3, 3, 0, 0.0f}, {4, 140, 0, 5.0f}, {5, 9, 3, 0.0f}}) {
      const int64_t b = 2, heads = 4, key_heads = 2, d_head = 6;
      const Shape q_shape{b, queries, heads, d_head}, k_shape{b, keys, key_heads, d_head};
      const Shape s_shape{b, heads, queries, keys};
      Strided q(MONOSEM_FLOAT32, q_shape, random), k(random_float_dtype(random), k_shape, random);
      Strided v(MONOSEM_FLOAT32, k_shape, random), out(MONOSEM_FLOAT32, q_shape, random);
      Strided scores(MONOSEM_FLOAT32, s_shape, random), mask(MONOSEM_INT32, {b, keys});
      for (Strided* tensor : {&q, &k, &v}) tensor->fill_normal(random);
      for (int64_t i = 0; i < mask.size(); ++i) mask.set(i, i % 5 != 0);
      RemoteView rq(q), rk(k), rv(v), rm(mask), rs(scores), ro(out);
      monosem_attention a{rq.view, rk.view, rv.view, rm.view, rs.view,
                          ro.view, 0.4f,    softcap, window};
      const bool masked = random.chance(0.5);
      if (!masked) a.mask.data = nullptr;
      ok(cuda_table().attention(cuda_handle(), &a));
      ok(cuda_table().attention_scores(cuda_handle(), &a));
      ro.back();
      rs.back();
      for (int64_t z = 0; z < b; ++z) {
        for (int64_t h = 0; h < heads; ++h) {
          for (int64_t i = 0; i < queries; ++i) {
            std::vector<double> weight(static_cast<size_t>(keys), 0.0);
            double total = 0;
            for (int64_t j = 0; j < keys; ++j) {
              const int64_t place = i + keys - queries;
              const bool seen = j <= place && (window == 0 || j > place - window) &&
                                (!masked || mask.get(z * keys + j) != 0);
              double score = 0;
              for (int64_t d = 0; d < d_head; ++d) {
                score +=
                    q.get(number({z, i, h, d}, q_shape)) * k.get(number({z, j, h / 2, d}, k_shape));
              }
              score *= 0.4f;
              if (softcap > 0) score = softcap * std::tanh(score / softcap);
              const double got = scores.get(number({z, h, i, j}, s_shape));
              CHECK(seen ? close(got, score, 1e-5, 1e-5) : std::isinf(got) && got < 0,
                    what << " score " << got << ", not " << score);
              weight[j] = seen ? std::exp(score) : 0;
              total += weight[j];
            }
            for (int64_t d = 0; d < d_head; ++d) {
              double want = 0;
              for (int64_t j = 0; j < keys && total > 0; ++j) {
                want += weight[j] / total * v.get(number({z, j, h / 2, d}, k_shape));
              }
              const double got = out.get(number({z, i, h, d}, q_shape));
              CHECK(close(got, want, 1e-5, 1e-5), what << ' ' << got << ", not " << want);
            }
          }
        }
      }
    }
  });
}
