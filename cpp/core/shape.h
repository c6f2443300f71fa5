#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string>

#include "core/backend.h"
#include "core/error.h"

namespace monosem {

/// The lengths (or strides) of a tensor's dimensions: a vector that never allocates, since every
/// operation makes and copies several.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> lengths) : Shape(lengths.begin(), lengths.end()) {}
  Shape(size_t rank, int64_t length) {
    resize(rank);
    std::fill(begin(), end(), length);
  }
  template <std::input_iterator It>
  Shape(It first, It last) {
    for (; first != last; ++first) push_back(*first);
  }

  size_t size() const { return rank_; }
  bool empty() const { return rank_ == 0; }
  int64_t& operator[](size_t i) { return lengths_[i]; }
  int64_t operator[](size_t i) const { return lengths_[i]; }
  int64_t& back() { return lengths_[rank_ - 1]; }
  int64_t back() const { return lengths_[rank_ - 1]; }
  int64_t* begin() { return lengths_.data(); }
  int64_t* end() { return lengths_.data() + rank_; }
  const int64_t* begin() const { return lengths_.data(); }
  const int64_t* end() const { return lengths_.data() + rank_; }

  /// Throws ERR_SHAPE past MONOSEM_MAX_RANK.
  void push_back(int64_t length) {
    resize(rank_ + 1);
    back() = length;
  }
  void append(const int64_t* first, const int64_t* last) {
    for (; first != last; ++first) push_back(*first);
  }
  void pop_back() { --rank_; }

  bool operator==(const Shape& other) const {
    return std::equal(begin(), end(), other.begin(), other.end());
  }

 private:
  void resize(size_t rank) {
    if (rank > MONOSEM_MAX_RANK) throw Error(kShape, "expected at most 8 dimensions, got more");
    rank_ = rank;
  }

  size_t rank_ = 0;
  std::array<int64_t, MONOSEM_MAX_RANK> lengths_{};
};

int64_t element_count(const Shape& shape);
/// "[2, 7, 48]"
std::string text(const Shape& shape);

}  // namespace monosem
