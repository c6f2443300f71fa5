#pragma once

namespace monosem::bench {

/// The clock of all measurements: time that passes, or the thread's own if the pool has just one.
double seconds();

/// Float32 multiply-adds per second (as FLOP/s) that the pool's threads reach together with the
/// current instruction set when everything is in registers.
double fma_peak();

/// Multiply-adds of 8-bit integers per second (as operations: two each) that the pool's threads
/// reach together by VNNI, in registers; 0 where the screen runs on something else.
double int8_peak();

/// As fma_peak, of bfloat16 values summed in float32; 0 where the kernels do not multiply them.
double bfloat16_peak();

/// Bytes per second that the pool's threads read together from memory.
double read_bandwidth();

}  // namespace monosem::bench
