/** Writers of the files that published weights come in, for made-up ones. */
import { crc32 } from 'node:zlib';

export interface Weight {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}
export type WeightTable = Readonly<Record<string, Weight>>;

/** Uniform numbers of a standard deviation, the same ones for the same seed. */
export function randomWeights(seed: number): (std: number, ...shape: number[]) => Weight {
  let state = seed >>> 0;
  return (std, ...shape) => {
    const data = new Float32Array(shape.reduce((product, length) => product * length, 1));
    for (let i = 0; i < data.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      data[i] = (state / 2 ** 32 - 0.5) * std * Math.sqrt(12);
    }
    return { shape, data };
  };
}

export const filled = (value: number, ...shape: number[]): Weight => ({
  shape,
  data: new Float32Array(shape.reduce((product, length) => product * length, 1)).fill(value),
});

const bytesOf = ({ data }: Weight) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

export function safetensors(weights: WeightTable): Buffer {
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, { shape, data }] of Object.entries(weights)) {
    header[name] = { dtype: 'F32', shape, data_offsets: [end, end + data.byteLength] };
    end += data.byteLength;
  }
  const json = JSON.stringify(header);
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...Object.values(weights).map(bytesOf)]);
}

/** As np.savez writes it: a zip archive of stored npy members. */
export function npz(weights: WeightTable): Buffer {
  const members: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, weight] of Object.entries(weights)) {
    const path = Buffer.from(`${name}.npy`);
    const content = Buffer.concat([npyHeader(weight.shape), bytesOf(weight)]);
    // Shared by both headers: version 2.0, no flags, stored, no time, checksum, sizes, name length.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(content.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(path.length, 22);
    members.push(Buffer.from('PK\x03\x04'), common, path, content);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(offset, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\0'), common, place, path);
    offset += 30 + path.length + content.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06');
  end.writeUInt16LE(Object.keys(weights).length, 8);
  end.writeUInt16LE(Object.keys(weights).length, 10);
  end.writeUInt32LE(listing.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...members, listing, end]);
}

function npyHeader(shape: readonly number[]): Buffer {
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${tuple}), }`;
  const padded = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
  const start = Buffer.from('\x93NUMPY\x01\0\0\0', 'latin1');
  start.writeUInt16LE(padded.length, 8);
  return Buffer.concat([start, Buffer.from(padded)]);
}
