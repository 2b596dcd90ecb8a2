import { hash } from 'node:crypto';
import type { Digest } from './port.ts';

/**
 * The digest of some bytes: SHA-256, cut to 128 bits (collisions must be infeasible, tenants share
 * blobs).
 */
export function digestOf(bytes: Uint8Array | string): Digest {
  // A part of a longer text would keep all of it.
  return hash('sha256', bytes, 'buffer').toString('hex', 0, 16);
}
