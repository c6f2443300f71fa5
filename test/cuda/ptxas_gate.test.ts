import { expect, it } from 'vitest';
import { parse } from '../../scripts/ptxas_gate.mjs';

const report = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN7monosem13encode_kernelE' for 'sm_80'
ptxas info    : Function properties for _ZN7monosem13encode_kernelE
    24 bytes stack frame, 40 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 32896 bytes smem, 512 bytes cmem[0]
ptxas info    : Compiling entry function '_ZN7monosem11fill_kernelE' for 'sm_80'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 12 registers, used 0 barriers, 400 bytes cmem[0]
`;

it('reads registers, shared memory, spills and stack of every kernel', () => {
  expect(parse(report)).toEqual([
    { name: '_ZN7monosem13encode_kernelE', registers: 255, shared: 32896, spills: 60, stack: 24 },
    { name: '_ZN7monosem11fill_kernelE', registers: 12, shared: 0, spills: 0, stack: 0 },
  ]);
});
