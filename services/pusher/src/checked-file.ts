/** Files that are replaced as a whole, and of which a damaged one is as good as none. */
import { hash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { deserialize } from 'node:v8';

const checksumBytes = 32;

/** `body`: what `serialize` made. */
export async function writeChecked(path: string, body: Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  await writeFile(temporary, Buffer.concat([hash('sha256', body, 'buffer'), body]));
  await rename(temporary, path);
}

/** `undefined`: there is no such file, or it is not what was written. */
export async function readChecked(path: string): Promise<unknown> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch {
    return undefined;
  }
  const body = bytes.subarray(checksumBytes);
  const sum = hash('sha256', body, 'buffer');
  return sum.equals(bytes.subarray(0, checksumBytes)) ? deserialize(body) : undefined;
}
