import { native } from './native.js';

/** Where tensors live and commands run. "auto" is CUDA when it can be used, else the CPU. */
export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;

export interface DeviceInfo {
  readonly device: Device;
  readonly name: string;
  /** Bytes. */
  readonly memory: number;
  readonly detail: Readonly<Record<string, string | number | boolean>>;
}

/** What this machine offers, and why CUDA is missing where it is. */
export const devices = {
  /** Every usable device, the CPU first. */
  list(): readonly DeviceInfo[] {
    return native
      .devices()
      .filter((info) => info.usable)
      .map(({ device, name, memory, detail }) => ({
        device: device as Device,
        name,
        memory,
        detail,
      }));
  },
  cuda: {
    isAvailable(): boolean {
      return native.cudaReason() === '';
    },
    /** Why not, with the cure; undefined when CUDA is available. */
    reason(): string | undefined {
      return native.cudaReason() || undefined;
    },
  },
};

/** The device a name stands for: MONOSEM_DEVICE answers for "auto", and "cuda" means "cuda:0". */
export function resolveDevice(device: Device = 'auto'): string {
  const asked = device === 'auto' ? (process.env.MONOSEM_DEVICE ?? 'auto') : device;
  if (asked === 'auto') return devices.cuda.isAvailable() ? 'cuda:0' : 'cpu';
  return asked === 'cuda' ? 'cuda:0' : asked;
}
