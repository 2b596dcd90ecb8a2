import { hash } from 'node:crypto';
import type { Digest } from './port.ts';

/**
 * The digest of some bytes: SHA-256, cut to 128 bits (collisions must be infeasible, tenants share
 * blobs).
 */
export function digestOf(bytes: Uint8Array | string): Digest {
  return hash('sha256', bytes, 'hex').slice(0, 32);
}
