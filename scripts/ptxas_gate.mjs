// `node scripts/ptxas_gate.mjs [FILE...]`: compiles every kernel for every architecture and reads
// ptxas' report. Fails on a spill, on a local array (a stack frame), and on more registers or shared
// memory than the launch can have. Needs nvcc, no GPU.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const architectures = ['sm_80', 'sm_90'];
// Static shared memory is limited to 48 KiB per block; what a launch asks for beyond that is
// asserted where it asks (cuda/encode_tile.cuh).
const limits = { registers: 255, shared: 48 << 10, spills: 0, stack: 0 };

/** nvcc's output for one file and architecture; rejects when it does not compile. */
function report(file, architecture, out) {
  const flags = ['-std=c++20', '-O3', `-arch=${architecture}`, '-Xptxas', '-v', '-cubin'];
  const include = ['-I', join(root, 'cpp')];
  return new Promise((done, fail) => {
    const nvcc = spawn('nvcc', [...flags, ...include, '-o', out, file]);
    let text = '';
    for (const stream of [nvcc.stdout, nvcc.stderr]) {
      stream.on('data', (chunk) => {
        text += chunk;
      });
    }
    nvcc.on('error', () => fail(new Error('nvcc was not found: put the CUDA toolkit on the PATH')));
    nvcc.on('close', (code) => (code === 0 ? done(text) : fail(new Error(`${file}:\n${text}`))));
  });
}

/** The kernels in a report: "Compiling entry function 'NAME'" opens one, its numbers follow. */
export function parse(text) {
  const kernels = [];
  for (const line of text.split('\n')) {
    const entry = /Compiling entry function '(\w+)'/.exec(line);
    if (entry) kernels.push({ name: entry[1], registers: 0, shared: 0, spills: 0, stack: 0 });
    const kernel = kernels.at(-1);
    if (!kernel) continue;
    const frame = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(
      line,
    );
    if (frame) {
      kernel.stack = Number(frame[1]);
      kernel.spills = Number(frame[2]) + Number(frame[3]);
    }
    kernel.registers = Number(/Used (\d+) registers/.exec(line)?.[1] ?? kernel.registers);
    kernel.shared = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? kernel.shared);
  }
  return kernels;
}

/** "N5space12name_kernelI...E" -> "name_kernel". */
function shortName(mangled) {
  return /\d([a-z_]+_kernel)/.exec(mangled)?.[1] ?? mangled;
}

async function main(asked) {
  const folder = mkdtempSync(join(tmpdir(), 'monosem-ptxas-'));
  const files = readdirSync(join(root, 'cuda')).filter((name) => name.endsWith('.cu'));
  const wanted = asked.length > 0 ? files.filter((name) => asked.includes(name)) : files;
  const work = wanted.flatMap((file) => architectures.map((architecture) => [file, architecture]));
  let kernels = 0;
  let failed = 0;
  const worker = async () => {
    for (let next = work.pop(); next; next = work.pop()) {
      const [file, architecture] = next;
      const out = join(folder, `${basename(file)}.${architecture}`);
      for (const kernel of parse(await report(join(root, 'cuda', file), architecture, out))) {
        ++kernels;
        const over = Object.entries(limits).filter(([what, most]) => kernel[what] > most);
        const numbers = `${kernel.registers} registers, ${kernel.shared} B shared`;
        console.log(`${architecture} ${file} ${shortName(kernel.name)}: ${numbers}`);
        for (const [what, most] of over) {
          ++failed;
          console.error(`  ${what}: ${kernel[what]}, at most ${most} are allowed`);
        }
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: availableParallelism() }, worker));
  } finally {
    rmSync(folder, { recursive: true });
  }
  console.log(`ptxas gate: ${kernels} kernels, ${failed} over their limits`);
  return failed === 0 && kernels > 0 ? 0 : 1;
}

if (process.argv[1] === import.meta.filename) {
  process.exitCode = await main(process.argv.slice(2)).catch((error) => {
    console.error(error.message);
    return 1;
  });
}
