/**
 * The documentation's programs: every block marked ```ts in README.md and docs/, made runnable.
 *
 * A block is a program of its own, unless its mark says `continued`: then it goes on where the one
 * before it ended. One marked `no-run` is type-checked only. Programs are type-checked as they stand,
 * and run as they stand against a hub on loopback; `stands` says which words change.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');
/** Inside the package, so that `import 'monosem'` is the package itself. */
export const work = join(root, 'build', 'docs');

export interface Program {
  readonly name: string;
  readonly file: string;
  readonly line: number;
  readonly run: boolean;
  readonly code: string;
}

/** What a machine that runs tests may lack. */
const stands: readonly [RegExp, string][] = [
  [/(['"])cuda(?::\d+)?\1/g, '$1cpu$1'],
  [/\/path\/to\/your\/sae/g, './my-sae'],
];

export function collect(): Program[] {
  const docs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
  return ['README.md', ...docs.map((name) => join('docs', name))].flatMap(programsOf);
}

function programsOf(file: string): Program[] {
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  const programs: Program[] = [];
  for (let start = 0; start < lines.length; start++) {
    const fence = /^```(?:ts|typescript)\b(.*)$/.exec(lines[start]!);
    if (!fence) continue;
    const end = lines.indexOf('```', start);
    if (end < 0) throw new Error(`${file}:${start + 1}: this block never ends`);
    const code = lines.slice(start + 1, end).join('\n');
    const words = fence[1]!.trim().split(/\s+/);
    const before = programs.at(-1);
    if (words.includes('continued')) {
      if (!before) throw new Error(`${file}:${start + 1}: there is no block to continue`);
      programs[programs.length - 1] = { ...before, code: `${before.code}\n${code}` };
    } else {
      const name = `${file.replace(/\W+/g, '_')}_${start + 1}`;
      programs.push({ name, file, line: start + 1, run: !words.includes('no-run'), code });
    }
    start = end;
  }
  return programs;
}

/** Writes each program as it stands into `checked/` and as it runs into `run/`, with their tsconfig. */
export function write(programs: readonly Program[]): void {
  rmSync(work, { recursive: true, force: true });
  for (const folder of ['checked', 'run']) mkdirSync(join(work, folder), { recursive: true });
  for (const { name, code } of programs) {
    const module = `${code}\nexport {};\n`;
    writeFileSync(join(work, 'checked', `${name}.ts`), module);
    const running = stands.reduce((text, [pattern, by]) => text.replace(pattern, by), module);
    writeFileSync(join(work, 'run', `${name}.ts`), running);
  }
  const compilerOptions = { rootDir: '.', outDir: 'out', declaration: false, sourceMap: false };
  writeFileSync(
    join(work, 'tsconfig.json'),
    JSON.stringify({
      extends: '../../tsconfig.json',
      compilerOptions,
      include: ['checked', 'run'],
    }),
  );
}
