// The table of this namespace's kernels, in the order of cpu/row_kernels.h.

constexpr RowKernels kTable = {
    to_float16_row, to_bfloat16_row, unary_row,       binary_row, sum_row,    sum_squares_row,
    maximum_row,    exp_sum_row,     standardize_row, affine_row, rotate_row,
};
