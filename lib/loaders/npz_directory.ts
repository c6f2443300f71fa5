import type { SaeFiles } from './files.js';
import type { StoredTensor } from './safetensors_header.js';

/** Room for the end record, its comment, zip64's records, and the directory of a few dozen members. */
const TAIL = 66_000;
/** Room for a member's own header and the npy header: what np.savez writes takes some 200 bytes. */
const HEAD = 1024;

const END = 0x06054b50;
const ENTRY = 0x02014b50;

interface Member {
  readonly name: string;
  readonly size: number;
  readonly local: number;
}

/**
 * The float arrays of an npz archive, by ranged reads of its directory and of each member's headers.
 * undefined where ranges do not do: members that are compressed or of another form than np.savez writes,
 * zip64 archives. Such a file has to be downloaded, and its reader says what is wrong with it.
 */
export async function readNpzDirectory(
  files: SaeFiles,
  path: string,
): Promise<ReadonlyMap<string, StoredTensor> | undefined> {
  const size = await files.size(path);
  const tailStart = Math.max(0, size - TAIL);
  const members = parseDirectory(await files.readRange(path, tailStart, size), tailStart);
  if (members === undefined) return undefined;
  const tensors = new Map<string, StoredTensor>();
  for (const member of members) {
    const head = await files.readRange(path, member.local, member.local + HEAD);
    const tensor = parseMember(head, member);
    if (tensor === undefined || tensor.end > size) return undefined;
    tensors.set(member.name.replace(/\.npy$/, ''), tensor);
  }
  return tensors;
}

function parseDirectory(tail: Uint8Array, tailStart: number): Member[] | undefined {
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  let end = tail.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) end--;
  if (end < 0) return undefined;
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true) - tailStart;
  const members: Member[] = [];
  for (let i = 0; i < count; i++) {
    if (at < 0 || at + 46 > end || view.getUint32(at, true) !== ENTRY) return undefined;
    const nameLength = view.getUint16(at + 28, true);
    const size = view.getUint32(at + 24, true);
    const local = view.getUint32(at + 42, true);
    const stored = view.getUint16(at + 10, true) === 0;
    if (!stored || size === 0xffffffff || local === 0xffffffff) return undefined;
    const name = new TextDecoder().decode(tail.subarray(at + 46, at + 46 + nameLength));
    members.push({ name, size, local });
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return members;
}

const HEADER =
  /^\{'descr': '<f([248])', 'fortran_order': False, 'shape': \(((?:\d+,? ?)*)\), \}\s*$/;

function parseMember(head: Uint8Array, { size, local }: Member): StoredTensor | undefined {
  if (head.length < 40) return undefined;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const npy = 30 + view.getUint16(26, true) + view.getUint16(28, true);
  if (npy + 10 > head.length || view.getUint32(npy + 1, false) !== 0x4e554d50) return undefined;
  const text = npy + 10;
  const length = view.getUint16(npy + 8, true);
  if (view.getUint8(npy + 6) !== 1 || text + length > head.length) return undefined;
  const header = HEADER.exec(new TextDecoder().decode(head.subarray(text, text + length)));
  if (header === null) return undefined;
  const [, width, dimensions = ''] = header;
  const shape = dimensions
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean)
    .map(Number);
  const bytes = shape.reduce((product, n) => product * n, Number(width));
  if (bytes !== size - 10 - length) return undefined;
  const start = local + text + length;
  const dtype = `float${Number(width) * 8}`;
  return { dtype, shape, start, end: start + bytes };
}
