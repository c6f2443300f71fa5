#!/usr/bin/env node
/** The `monosem` command: a table of commands, one file each, and how their ends are told. */
import { readFileSync } from 'node:fs';
import { nearest } from '../nearest.js';
import { type Command, UsageError } from './command.js';

/** Imported inside `main`, so that an addon that cannot be loaded ends in a sentence too. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  demo: () => import('./demo.js'),
  features: () => import('./features.js'),
  steer: () => import('./steer.js'),
  info: () => import('./info.js'),
  saes: () => import('./saes.js'),
  devices: () => import('./devices.js'),
};

async function help(): Promise<string> {
  const lines = await Promise.all(
    Object.entries(commands).map(
      async ([name, load]) => `  ${name.padEnd(10)} ${(await load()).summary}`,
    ),
  );
  return `monosem: sparse autoencoders at the speed of the chip

Usage: monosem COMMAND [ARGUMENTS]

${lines.join('\n')}

monosem COMMAND --help tells more. Environment: MONOSEM_DEVICE (cpu, cuda), MONOSEM_THREADS,
MONOSEM_LOG=debug (stack traces), HF_HOME, HF_TOKEN, HF_HUB_OFFLINE.`;
}

/** One sentence, not a stack: that is for MONOSEM_LOG=debug. */
function tell(error: unknown): void {
  if (process.env.MONOSEM_LOG === 'debug') console.error(error);
  else if (error instanceof Error) {
    const code = 'code' in error && typeof error.code === 'string' ? ` (${error.code})` : '';
    console.error(`monosem: ${error.message}${code}`);
  } else console.error(`monosem: ${String(error)}`);
}

function isUsage(error: unknown): boolean {
  if (error instanceof UsageError) return true;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return code.startsWith('ERR_PARSE_ARGS_');
}

async function main([name = '--help', ...args]: string[]): Promise<number> {
  if (name === '--help' || name === '-h' || name === 'help') {
    console.log(await help());
    return 0;
  }
  if (name === '--version' || name === '-v') {
    const path = new URL('../../package.json', import.meta.url);
    console.log((JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version);
    return 0;
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!load) {
    const [near] = nearest(name, Object.keys(commands), 1);
    console.error(
      `monosem: there is no command "${name}"${near ? `; did you mean "${near}"?` : ''}` +
        ' `monosem --help` lists them',
    );
    return 2;
  }
  const command = await load();
  if (args.includes('--help') || args.includes('-h')) {
    console.log(command.usage);
    return 0;
  }
  try {
    return await command.run(args);
  } catch (error) {
    if (!isUsage(error)) throw error;
    tell(error);
    console.error(`\n${command.usage}`);
    return 2;
  }
}

// A reader that has seen enough (`monosem features … | head`) is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  tell(error);
  return 1;
});
