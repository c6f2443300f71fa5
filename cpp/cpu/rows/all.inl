// Everything over the vector type of the including namespace.

#include "cpu/rows/convert.inl"
#include "cpu/rows/math.inl"
//
#include "cpu/rows/elementwise.inl"
#include "cpu/rows/reduce.inl"
//
#include "cpu/rows/table.inl"
