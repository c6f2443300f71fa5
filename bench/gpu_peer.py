"""The peer of `npm run bench:gpu`: SAELens' own equations in PyTorch eager, and compiled, on the GPU.

    python3 gpu_peer.py D_IN D_SAE L0 BATCH

Prints one JSON object per line: float32 (SAELens' default), TF32, bfloat16, torch.compile of float32,
and the matrix product rates of the same run. Exits with 3 and one sentence where there is no torch or
no GPU.
"""

import json
import statistics
import sys

try:
    import torch
except ImportError:
    sys.exit(print("python3 has no torch: no peer was timed", file=sys.stderr) or 3)
if not torch.cuda.is_available():
    sys.exit(print("torch sees no GPU: no peer was timed", file=sys.stderr) or 3)

ROUNDS = 30


def milliseconds(work):
    """Median by CUDA events, L2 flushed before each call."""
    flush = torch.empty(256 << 20, dtype=torch.int8, device="cuda")
    times = []
    for i in range(-3, ROUNDS):
        flush.fill_(i & 127)
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work(i + 3)
        stop.record()
        stop.synchronize()
        if i >= 0:
            times.append(start.elapsed_time(stop))
    return statistics.median(times)


def report(name, time, **more):
    print(json.dumps({"name": name, "ms": time, **more}), flush=True)


def peers(d_in, d_sae, l0, batch):
    torch.manual_seed(1)
    inputs = [torch.randn(batch, d_in, device="cuda") for _ in range(4)]
    w_dec = torch.randn(d_sae, d_in, device="cuda") / d_in**0.5
    w_enc = w_dec.T.contiguous()
    b_enc, b_dec = (torch.zeros(n, device="cuda") for n in (d_sae, d_in))
    threshold = (inputs[0] @ w_enc).flatten()[: 1 << 24].kthvalue(
        int(min(1 << 24, batch * d_sae) * (1 - l0 / d_sae))
    )[0]

    # JumpReLU as SAELens writes it: relu, compare, multiply; then the dense decoder and the error.
    def encode(x, w, b):
        pre = x @ w + b
        return torch.relu(pre) * (pre > threshold.to(pre.dtype))

    def decode(acts, w, b):
        return acts @ w + b

    def both(x, we, be, wd, bd):
        out = decode(encode(x, we, be), wd, bd)
        return out, x - out

    def run(name, dtype, tf32, compiled=False):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        xs = [x.to(dtype) for x in inputs]
        we, be, wd, bd = (t.to(dtype) for t in (w_enc, b_enc, w_dec, b_dec))
        whole = torch.compile(both) if compiled else both
        with torch.no_grad():
            if not compiled:
                report(f"{name}: encode", milliseconds(lambda i: encode(xs[i % 4], we, be)))
                acts = encode(xs[0], we, be)
                report(f"{name}: decode + error",
                       milliseconds(lambda i: xs[i % 4] - decode(acts, wd, bd)))
            report(f"{name}: encode + decode + error",
                   milliseconds(lambda i: whole(xs[i % 4], we, be, wd, bd)))

    run("torch float32", torch.float32, False)
    run("torch TF32", torch.float32, True)
    run("torch bfloat16", torch.bfloat16, False)
    run("torch.compile float32", torch.float32, False, compiled=True)
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        torch.backends.cuda.matmul.allow_tf32 = False
        a, b = (torch.randn(4096, 4096, device="cuda", dtype=dtype) for _ in range(2))
        time = milliseconds(lambda i: a @ b)
        report(f"limit: {name} product", time, tflops=2 * 4096**3 / time / 1e9)
    print(json.dumps({"device": torch.cuda.get_device_name(), "torch": torch.__version__}))


if __name__ == "__main__":
    peers(*map(int, sys.argv[1:5]))
