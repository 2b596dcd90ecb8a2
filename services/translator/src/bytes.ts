import { Buffer } from 'node:buffer';
import type { Digest } from '@watershed/blob/port.ts';

export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** A digest as records carry it: 16 bytes instead of 32 characters. */
export function digestBytes(digest: Digest): Uint8Array {
  return Buffer.from(digest, 'hex');
}

export function digestText(bytes: Uint8Array): Digest {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
