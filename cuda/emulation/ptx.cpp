#include "ptx.h"

#include <cmath>

#include "core/half.h"

namespace monosem::cuda {

namespace {

using emulation::lane_of;
using emulation::Lanes;

void aligned_16(const void* pointer, const char* what) {
  if (reinterpret_cast<uintptr_t>(pointer) % 16 != 0) {
    emulation::fault("%s at an address that is no multiple of 16", what);
  }
}

float half_at(uint32_t pair, int i) {
  return from_float16(static_cast<uint16_t>(i == 0 ? pair : pair >> 16));
}

// Toward zero, as the tensor core keeps its sums.
float toward_zero(double sum) {
  const float nearest = static_cast<float>(sum);
  if (!std::isfinite(sum) || std::fabs(static_cast<double>(nearest)) <= std::fabs(sum)) {
    return nearest;
  }
  return std::nextafterf(nearest, 0.0f);
}

struct Product {
  const uint32_t* a;
  const uint32_t* b;
  const float* c;
  float d[4];
};

// Lane 4 g + q holds: a[0] = A[g][2q, 2q+1], a[1] = A[g+8][..], a[2] = A[g][8 + ..],
// a[3] = A[g+8][8 + ..]; b[0] = B[2q, 2q+1][g], b[1] = B[8 + ..][g]; c[0..1] = C[g][2q, 2q+1],
// c[2..3] = C[g+8][..].
void multiply(Lanes& lanes) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const Product& p = lane_of<Product>(lanes, lane);
    const int g = lane / 4, q = lane % 4;
    for (int i = 0; i < 2; ++i) {
      a[g][2 * q + i] = half_at(p.a[0], i);
      a[g + 8][2 * q + i] = half_at(p.a[1], i);
      a[g][8 + 2 * q + i] = half_at(p.a[2], i);
      a[g + 8][8 + 2 * q + i] = half_at(p.a[3], i);
      b[2 * q + i][g] = half_at(p.b[0], i);
      b[8 + 2 * q + i][g] = half_at(p.b[1], i);
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    Product& p = lane_of<Product>(lanes, lane);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      double sum = static_cast<double>(p.c[i]);
      for (int k = 0; k < 16; ++k) {
        sum += static_cast<double>(a[row][k]) * static_cast<double>(b[k][column]);
      }
      p.d[i] = toward_zero(sum);
    }
  }
}

struct Rows {
  const uint16_t* row;
  uint32_t out[4];
};

// Lane 8 m + r gives the address of row r of matrix m; lane l gets elements 2 (l % 4) and the next
// of row l / 4 of each matrix.
void load_matrices(Lanes& lanes) {
  for (int lane = 0; lane < 32; ++lane) {
    for (int m = 0; m < 4; ++m) {
      const uint16_t* row = lane_of<Rows>(lanes, 8 * m + lane / 4).row + lane % 4 * 2;
      lane_of<Rows>(lanes, lane).out[m] = row[0] | uint32_t{row[1]} << 16;
    }
  }
}

}  // namespace

void copy_async_16(void* shared, const void* global, bool valid) {
  aligned_16(shared, "cp.async to shared memory");
  aligned_16(global, "cp.async from global memory");
  emulation::copy_later(shared, global, valid ? 16 : 0, valid ? 0 : 16);
}

void copy_async_commit() { emulation::commit_copies(); }

void copy_async_wait(int newest) { emulation::wait_copies(static_cast<unsigned>(newest)); }

void load_matrix_x4(uint32_t (&out)[4], const void* row, const Place& place) {
  aligned_16(row, "ldmatrix of a row");
  Rows mine{static_cast<const uint16_t*>(row), {}};
  emulation::warp_operation(mine, load_matrices, place);
  for (int m = 0; m < 4; ++m) out[m] = mine.out[m];
}

void multiply_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                  const float (&c)[4], const Place& place) {
  Product mine{a, b, c, {}};
  emulation::warp_operation(mine, multiply, place);
  for (int i = 0; i < 4; ++i) d[i] = mine.d[i];
}

}  // namespace monosem::cuda
