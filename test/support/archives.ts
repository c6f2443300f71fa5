/** Writes what NumPy and PyTorch write, as far as tests need it: float32, row-major. */
import { crc32, deflateRawSync, type ZlibOptions } from 'node:zlib';

export interface Array32 {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

interface Member {
  readonly name: string;
  readonly content: Buffer;
  readonly deflate?: ZlibOptions;
  /** The content starts at a multiple of it, as PyTorch's do. */
  readonly alignment?: number;
}

/** A zip archive, as zipfile writes one. */
function zip(members: readonly Member[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  const push = (part: Buffer) => {
    parts.push(part);
    at += part.length;
  };
  for (const { name, content, deflate, alignment = 1 } of members) {
    const stored = deflate ? deflateRawSync(content, deflate) : content;
    const padding = (alignment - ((at + 30 + name.length) % alignment)) % alignment;
    const shared = Buffer.alloc(26); // from "version needed" to the length of the extra field
    shared.writeUInt16LE(20, 0);
    shared.writeUInt16LE(deflate ? 8 : 0, 4);
    shared.writeUInt32LE(crc32(content), 10);
    shared.writeUInt32LE(stored.length, 14);
    shared.writeUInt32LE(content.length, 18);
    shared.writeUInt16LE(name.length, 22);
    const start = at;
    const local = Buffer.from(shared);
    local.writeUInt16LE(padding, 24);
    push(
      Buffer.concat([Buffer.from('PK\x03\x04'), local, Buffer.from(name), Buffer.alloc(padding)]),
    );
    push(stored);
    const entry = Buffer.alloc(46 - 6 - 26);
    entry.writeUInt32LE(start, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x00'), shared, entry, Buffer.from(name));
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, central, end]);
}

const bytesOf = ({ data }: Array32) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

/** numpy.savez, or savez_compressed. */
export function npz(
  arrays: Readonly<Record<string, Array32>>,
  { deflate }: { deflate?: ZlibOptions } = {},
): Buffer {
  const members = Object.entries(arrays).map(([name, array]) => {
    const shape = array.shape.length === 1 ? `${array.shape[0]},` : array.shape.join(', ');
    const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape}), }`;
    const header = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
    const prefix = Buffer.from('\x93NUMPY\x01\x00\x00\x00', 'latin1');
    prefix.writeUInt16LE(header.length, 8);
    const content = Buffer.concat([prefix, Buffer.from(header), bytesOf(array)]);
    return { name: `${name}.npy`, content, ...(deflate && { deflate }) };
  });
  return zip(members);
}

/** A window on an array's data; row-major over all of it when not told otherwise. */
export interface View32 extends Array32 {
  readonly strides?: readonly number[];
  readonly offset?: number;
}

/** torch.save of a dictionary of tensors. */
export function torchCheckpoint(tensors: Readonly<Record<string, View32>>): Buffer {
  const text = (value: string) => {
    const bytes = Buffer.from(value);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return Buffer.concat([Buffer.from('X'), length, bytes]);
  };
  const integer = (value: number) => {
    const bytes = Buffer.alloc(5);
    bytes.write('J');
    bytes.writeInt32LE(value, 1);
    return bytes;
  };
  const tuple = (...items: Buffer[]) =>
    Buffer.concat([Buffer.from('('), ...items, Buffer.from('t')]);
  const global = (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`);
  const items = Object.entries(tensors).map(([name, { shape, data, offset = 0, ...view }], key) => {
    const storage = tuple(
      ...[text('storage'), global('torch', 'FloatStorage'), text(String(key)), text('cpu')],
      integer(data.length),
    );
    const dense = shape.map((_, dim) => shape.slice(dim + 1).reduce((a, b) => a * b, 1));
    const strides = view.strides ?? dense;
    const args = tuple(
      ...[storage, Buffer.from('Q'), integer(offset), tuple(...shape.map(integer))],
      ...[tuple(...strides.map(integer)), Buffer.from('\x89}', 'latin1')],
    );
    const rebuild = global('torch._utils', '_rebuild_tensor_v2');
    return Buffer.concat([text(name), rebuild, args, Buffer.from('R')]);
  });
  const pickle = Buffer.concat([Buffer.from('\x80\x02}(', 'latin1'), ...items, Buffer.from('u.')]);
  return zip([
    { name: 'archive/data.pkl', content: pickle },
    { name: 'archive/byteorder', content: Buffer.from('little') },
    ...Object.values(tensors).map((tensor, key) => ({
      name: `archive/data/${key}`,
      content: bytesOf(tensor),
      alignment: 64,
    })),
  ]);
}
