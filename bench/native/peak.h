#pragma once

namespace monosem::bench {

/// Float32 multiply-adds per second (as FLOP/s) that the pool's threads reach together with the
/// current instruction set when everything is in registers.
double fma_peak();

/// Bytes per second that the pool's threads read together from memory.
double read_bandwidth();

}  // namespace monosem::bench
