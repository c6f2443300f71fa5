// What was predicted before any of this was built, as ratios to onnxruntime-node [least, most]. For
// strict encodes it was for two cores with AMX, whose int8 unit has 28 times the float32 peak; VNNI
// has 4 times.
const gemma = 'gemma-2-2b 2304x16384';

export const predicted = {
  [`encode ${gemma} b1 l100 strict`]: [6, 6],
  [`encode ${gemma} b32 l100 strict`]: [4, 4],
  [`encode ${gemma} b512 l100 strict`]: [7, 7],
  [`encode ${gemma} b512 l100 float32`]: [1.5, 1.5],
  [`topk ${gemma} b512 l64 strict`]: [6, 6],
  [`decode ${gemma} b512 l100 float32`]: [20, 30],
  [`pass ${gemma} b512 l100 strict`]: [12, 12],
};
