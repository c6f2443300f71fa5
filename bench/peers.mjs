// OpenBLAS and oneDNN (bench/native/peers.cpp) on the dense layer of an SAE: x W + b, with ReLU for the
// encoder.
import { nativeProgram } from './native.mjs';
import { StoppedProcess } from './stopped.mjs';

export const install = 'apt-get install libopenblas-dev libdnnl-dev';

export class NativePeers {
  #process;
  names = [];

  /** Undefined where none is installed or nothing can be built. */
  static async open(threads) {
    const program = nativeProgram('monosem_peers');
    if (program === undefined) return undefined;
    const peers = new NativePeers();
    const env = { OPENBLAS_NUM_THREADS: threads, OMP_NUM_THREADS: threads };
    peers.#process = new StoppedProcess(program, [], env);
    peers.names = (await peers.#process.ask('peers')).split(',').filter(Boolean);
    if (peers.names.length > 0) return peers;
    peers.close();
    return undefined;
  }

  /** The weights of the SAE's file, and float32 [batch, width] of another. */
  async prepare({ operation, batch }, { dIn, dSae, file, offsets }, input) {
    const [widths, w, bias, relu] =
      operation === 'encode'
        ? [`${dIn} ${dSae}`, offsets.W_enc, offsets.b_enc, 1]
        : [`${dSae} ${dIn}`, offsets.W_dec, offsets.b_dec, 0];
    await this.#process.ask(`layer ${widths} ${file} ${w} ${bias} ${relu}`);
    await this.#process.ask(`input ${batch} ${input}`);
  }

  contenders() {
    return this.names.map((name) => ({ name, run: () => this.#process.time(`run ${name}`) }));
  }

  /** Throws if a peer's last output does not add up to what another library's does. */
  async check(expected) {
    const sum = expected.reduce((total, value) => total + value, 0);
    const size = expected.reduce((total, value) => total + Math.abs(value), 0);
    for (const name of this.names) {
      const theirs = Number(await this.#process.ask(`sum ${name}`));
      const off = Math.abs(theirs - sum) / size;
      if (!(off < (name.includes('bfloat16') ? 0.05 : 1e-3))) {
        throw new Error(`${name} computed something else: its outputs' sum is ${off} off`);
      }
    }
  }

  close() {
    this.#process.close();
  }
}
