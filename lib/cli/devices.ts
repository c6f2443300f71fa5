import { parseArgs } from 'node:util';
import { devices } from '../index.js';
import { table } from './table.js';

export const summary = 'what this machine can compute on, and why not on CUDA';
export const usage = `Usage: monosem devices [--json]

Lists the usable devices with their memory and properties. Where CUDA is missing, the reason and the
cure follow.`;

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean' } } });
  const list = devices.list();
  const reason = devices.cuda.reason();
  if (values.json) {
    console.log(JSON.stringify({ devices: list, cuda: { available: !reason, reason } }, null, 2));
    return 0;
  }
  const rows = list.map(({ device, name, memory, detail }) => [
    device,
    name,
    `${(memory / 2 ** 30).toFixed(1)} GiB`,
    Object.entries(detail)
      .map(([key, value]) => `${key}: ${value}`)
      .join(', '),
  ]);
  console.log(table(rows, 'llrl'));
  if (reason) console.log(`\nCUDA is not available: ${reason}`);
  return 0;
}
