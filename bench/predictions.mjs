// What was predicted before any of this was built, as ratios to onnxruntime-node [least, most]; `amx` was
// for two cores with AMX, whose int8 unit has 28 times the float32 peak, where VNNI has 4 times.
const gemma = 'gemma-2-2b 2304x16384';

export const predictions = [
  { label: 'encode, batch 1, strict', name: `encode ${gemma} b1 l100 strict`, here: [4, 4] },
  {
    label: 'the same, weights in the caches as far as they fit',
    name: `encode ${gemma} b1 l100 warm strict`,
    here: [6, 6],
  },
  { label: 'encode, batch 32, strict', name: `encode ${gemma} b32 l100 strict`, amx: [4, 4] },
  {
    label: 'encode, batch 512, strict',
    name: `encode ${gemma} b512 l100 strict`,
    here: [2.4, 2.4],
    amx: [7, 7],
  },
  {
    label: 'encode, batch 512, certified',
    name: `encode ${gemma} b512 l100 certified`,
    amx: [12, 12],
  },
  {
    label: 'encode, batch 512, float32',
    name: `encode ${gemma} b512 l100 float32`,
    here: [1.5, 1.5],
  },
  { label: 'float32 by AVX2', name: `encode ${gemma} b512 l100 float32 avx2` },
  { label: 'strict by AVX2', name: `encode ${gemma} b512 l100 strict avx2` },
  { label: 'top 64, batch 512, strict', name: `topk ${gemma} b512 l64 strict`, amx: [6, 6] },
  { label: 'decode, batch 512', name: `decode ${gemma} b512 l100 float32`, here: [20, 30] },
  {
    label: 'encode, decode and error, batch 512, strict',
    name: `pass ${gemma} b512 l100 strict`,
    amx: [12, 12],
  },
];
