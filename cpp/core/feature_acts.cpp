#include "core/feature_acts.h"

#include <algorithm>
#include <future>
#include <utility>

#include "core/ops.h"

namespace monosem {

FeatureActs::FeatureActs(Device& device, int64_t tokens, int64_t d_sae) : device_(device) {
  csr_.tokens = tokens;
  csr_.d_sae = d_sae;
}

FeatureActs::~FeatureActs() {
  for (void* array : {static_cast<void*>(csr_.row_offsets), static_cast<void*>(csr_.indices),
                      static_cast<void*>(csr_.values)}) {
    if (array != nullptr) device_.table().free(device_.handle(), array);
  }
}

const monosem_csr& FeatureActs::filled() const {
  if (csr_.row_offsets == nullptr) {
    throw Error(kInternal,
                "the feature activations were never computed: an earlier command failed");
  }
  return csr_;
}

namespace {

// Queues `make(source csr, out csr)` and gives the acts that it will fill.
template <class Make>
Acts derive(const char* operation, const Acts& acts, int64_t tokens, Make make) {
  Device& device = acts->device();
  auto out = std::make_shared<FeatureActs>(device, tokens, acts->d_sae());
  device.stream().push(operation, [&device, acts, out, make = std::move(make)] {
    device.check(make(device, acts->filled(), out->unfilled()));
  });
  return out;
}

}  // namespace

Acts acts_from_dense(const Tensor& dense) {
  if (dense.rank() != 2) {
    throw Error(kShape, "expected dense activations [tokens, d_sae], got " + text(dense.shape()));
  }
  Device& device = dense.device();
  auto out = std::make_shared<FeatureActs>(device, dense.shape()[0], dense.shape()[1]);
  device.stream().push("dense to sparse", [&device, dense, out] {
    const monosem_view view = dense.view();
    device.check(device.table().csr_from_dense(device.handle(), &view, out->unfilled()));
  });
  return out;
}

Tensor acts_to_dense(const Acts& acts) {
  Device& device = acts->device();
  Tensor out = Tensor::empty(device, MONOSEM_FLOAT32, {acts->tokens(), acts->d_sae()});
  device.stream().push("sparse to dense", [&device, acts, out] {
    const monosem_view view = out.view();
    device.check(device.table().csr_to_dense(device.handle(), &acts->filled(), &view));
  });
  return out;
}

Tensor acts_count(const Acts& acts) {
  Device& device = acts->device();
  Tensor out = Tensor::empty(device, MONOSEM_FLOAT32, {acts->tokens()});
  device.stream().push("count active", [&device, acts, out] {
    device.check(device.table().csr_count(device.handle(), &acts->filled(), out.floats()));
  });
  return out;
}

Acts acts_rows(const Acts& acts, std::vector<int64_t> rows) {
  for (int64_t row : rows) {
    if (row < 0 || row >= acts->tokens()) {
      throw Error(kShape, "token " + std::to_string(row) + " does not exist among " +
                              std::to_string(acts->tokens()));
    }
  }
  const auto count = static_cast<int64_t>(rows.size());
  return derive("select tokens", acts, count,
                [rows = std::move(rows)](Device& device, const monosem_csr& csr, monosem_csr* out) {
                  return device.table().csr_rows(device.handle(), &csr, rows.data(),
                                                 static_cast<int64_t>(rows.size()), out);
                });
}

Acts acts_intervene(const Acts& acts, int32_t intervention, std::vector<uint32_t> features,
                    float value) {
  if (!features.empty() && static_cast<int64_t>(features.back()) >= acts->d_sae()) {
    throw Error(kInvalidArgument, "feature " + std::to_string(features.back()) +
                                      " does not exist: d_sae is " + std::to_string(acts->d_sae()));
  }
  if (std::adjacent_find(features.begin(), features.end(), std::greater_equal<>()) !=
      features.end()) {
    throw Error(kInvalidArgument, "expected ascending, distinct features");
  }
  return derive("intervene", acts, acts->tokens(),
                [intervention, value, features = std::move(features)](
                    Device& device, const monosem_csr& csr, monosem_csr* out) {
                  return device.table().csr_intervene(
                      device.handle(), &csr, intervention, features.data(),
                      static_cast<int64_t>(features.size()), value, out);
                });
}

namespace {

void download(const FeatureActs& acts, HostCsr& host) {
  Device& device = acts.device();
  const monosem_csr& csr = acts.filled();
  const auto fetch = [&](auto& target, const auto* source, int64_t count) {
    target.resize(static_cast<size_t>(count));
    if (count == 0) return;
    device.check(device.table().download(device.handle(), target.data(), source,
                                         target.size() * sizeof(target[0])));
  };
  fetch(host.row_offsets, csr.row_offsets, csr.tokens + 1);
  fetch(host.indices, csr.indices, csr.nnz);
  fetch(host.values, csr.values, csr.nnz);
}

void upload(const HostCsr& host, FeatureActs& acts) {
  Device& device = acts.device();
  monosem_csr& csr = *acts.unfilled();
  const auto put = [&](auto*& target, const auto& source) {
    void* memory = nullptr;
    const size_t bytes = source.size() * sizeof(source[0]);
    device.check(device.table().alloc(device.handle(), bytes, &memory));
    target = static_cast<std::remove_reference_t<decltype(target)>>(memory);
    if (bytes > 0) {
      device.check(device.table().upload(device.handle(), memory, source.data(), bytes));
    }
  };
  put(csr.indices, host.indices);
  put(csr.values, host.values);
  put(csr.row_offsets, host.row_offsets);
  csr.nnz = static_cast<int64_t>(host.indices.size());
}

}  // namespace

Acts acts_to(const Acts& acts, Device& device) {
  if (&device == &acts->device()) return acts;
  auto host = std::make_shared<HostCsr>();
  auto there = std::make_shared<std::promise<void>>();
  acts->device().stream().push("download", [acts, host, there] {
    try {
      download(*acts, *host);
    } catch (...) {
      there->set_value();
      throw;
    }
    there->set_value();
  });
  auto moved = std::make_shared<FeatureActs>(device, acts->tokens(), acts->d_sae());
  device.stream().push("upload", [moved, host, there] {
    there->get_future().wait();
    if (!host->row_offsets.empty()) upload(*host, *moved);
  });
  return moved;
}

void read(const Acts& acts, std::shared_ptr<HostCsr> host) {
  acts->device().stream().push("read", [acts, host] { download(*acts, *host); });
}

}  // namespace monosem
