import { readFileSync } from 'node:fs';

/**
 * A FileDescriptorSet, encoded: the services that proxies and tools call (`roots/services.txt`) and
 * all messages that they carry, the contents of Anys too.
 */
export function readDescriptors(): Uint8Array {
  return readFileSync(new URL('./gen/descriptors.binpb', import.meta.url));
}
