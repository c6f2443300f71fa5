// A peer in a process of its own that is stopped between its turns. Libraries keep their threads spinning
// after a call (onnxruntime for 35 ms on two cores), which would take the cores from whoever is next:
// times of a tenth of a second were up to twice as long for it. Such a process answers a line with a line,
// and times its own calls, so that talking to it costs it nothing.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const running = new Set();
// Nothing else would ever wake them.
process.once('exit', () => {
  for (const one of running) one.close();
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

export class StoppedProcess {
  #child;
  #lines;

  constructor(program, args = [], env = {}) {
    this.#child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    running.add(this);
  }

  /** Its answer. Throws when that is an error, or when it has ended. */
  async ask(line) {
    this.#child.kill('SIGCONT');
    this.#child.stdin.write(`${line}\n`);
    const { value = 'error: it has ended' } = await this.#lines.next();
    this.#child.kill('SIGSTOP');
    if (value.startsWith('error')) throw new Error(`"${line}" gave ${value}`);
    return value;
  }

  /** For the harness: the milliseconds that it answers are the run's time. */
  async time(line) {
    return { overriddenDuration: Number(await this.ask(line)) };
  }

  close() {
    this.#child.kill('SIGKILL');
    running.delete(this);
  }
}
