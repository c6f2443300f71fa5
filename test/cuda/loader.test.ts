/**
 * What the addon says of a CUDA backend that it cannot use: each case in a folder of its own with a
 * copy of the addon, a library beside it and, for the real backend, a driver that is none.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const addon = createRequire(import.meta.url)('node-gyp-build').path(root) as string;
const backend = join(dirname(addon), 'libmonosem_cuda.so');
const folders: string[] = [];

function folder(): string {
  folders.push(mkdtempSync(join(tmpdir(), 'monosem-cuda-')));
  return folders.at(-1) as string;
}
afterAll(() => {
  for (const path of folders) rmSync(path, { recursive: true });
});

/** Compiles C into a shared object. */
function library(path: string, source: string): void {
  const flags = ['-x', 'c', '-shared', '-fPIC', '-I', join(root, 'cpp'), '-o', path, '-'];
  execFileSync(process.env.CC ?? 'gcc', flags, { input: source });
}

/** Why CUDA cannot be used by an addon whose folder `prepare` has filled. */
function reason(prepare: (path: string) => void): string {
  const path = folder();
  copyFileSync(addon, join(path, 'monosem.node'));
  prepare(path);
  const script = `process.stdout.write(require('${path}/monosem.node').cudaReason())`;
  return execFileSync(process.execPath, ['-e', script], {
    encoding: 'utf8',
    env: { ...process.env, LD_LIBRARY_PATH: path },
  });
}

const withBackend = (source: string) =>
  reason((path) => library(join(path, 'libmonosem_cuda.so'), source));

describe.skipIf(process.platform !== 'linux')('a CUDA backend', () => {
  it('that was not built', () => {
    expect(reason(() => {})).toMatch(/was not built; install nvcc/);
  });

  it('that cannot be loaded', () => {
    const text = reason((path) => writeFileSync(join(path, 'libmonosem_cuda.so'), 'no library'));
    expect(text).toMatch(/libmonosem_cuda\.so cannot be loaded: .*libmonosem_cuda\.so/);
  });

  it('that is another library', () => {
    expect(withBackend('int answer(void) { return 42; }')).toMatch(/no entry point/);
  });

  it.each([
    ['interface', '{.abi = 99, .size = sizeof(monosem_backend)}', /interface 99, wanted \d+/],
    ['length of the table', '{.abi = MONOSEM_BACKEND_ABI, .size = 64}', /another version/],
  ])('of another %s', (_name, table, expected) => {
    const text = withBackend(`#include "core/backend.h"
      static const monosem_backend table = ${table};
      const monosem_backend* monosem_backend_get(void) { return &table; }`);
    expect(text).toMatch(expected);
    expect(text).toMatch(/npm run build:native/);
  });

  it('whose own words are passed on', () => {
    const text = withBackend(`#include "core/backend.h"
      static int32_t count(void) { return -1; }
      static const char* error(void) { return "the GPU is on holiday"; }
      static const monosem_backend table = {.abi = MONOSEM_BACKEND_ABI,
        .size = sizeof(monosem_backend), .device_count = count, .last_error = error};
      const monosem_backend* monosem_backend_get(void) { return &table; }`);
    expect(text).toContain('the GPU is on holiday');
  });
});

describe.skipIf(!existsSync(backend))('the CUDA backend of this build', () => {
  /** A driver that knows its version and answers every other call with `code`. */
  const withDriver = (version: number, code: number) =>
    reason((path) => {
      copyFileSync(backend, join(path, 'libmonosem_cuda.so'));
      library(
        join(path, 'libcuda.so.1'),
        `#include <string.h>
         int cuDriverGetVersion(int* version) { *version = ${version}; return 0; }
         int cuInit(unsigned flags) { return ${code}; }
         static int refuse(void) { return ${code}; }
         int cuGetProcAddress_v2(const char* name, void** function, int version,
                                 unsigned long long flags, int* status) {
           *function = !strcmp(name, "cuDriverGetVersion") ? (void*)cuDriverGetVersion
                       : !strcmp(name, "cuInit")           ? (void*)cuInit
                       : !strcmp(name, "cuGetProcAddress") ? (void*)cuGetProcAddress_v2
                                                           : (void*)refuse;
           if (status) *status = 0;
           return 0;
         }`,
      );
    });

  it('needs a driver', () => {
    const text = reason((path) => copyFileSync(backend, join(path, 'libmonosem_cuda.so')));
    // A machine with a GPU has nothing to complain about.
    expect(text).toMatch(/^$|no NVIDIA driver is installed|too old|reports no device/);
  });

  it('names both versions when the driver is too old', () => {
    expect(withDriver(12040, 100)).toMatch(
      /too old: it supports CUDA 12\.4, this build needs \d+\.\d/,
    );
  });

  it('says so when the driver finds no device', () => {
    expect(withDriver(13000, 100)).toMatch(/reports no device: .*CUDA_VISIBLE_DEVICES/);
  });
});
