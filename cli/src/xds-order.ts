import { ringOf } from '@watershed/pusher/placement/ring.ts';
import { formatAddress, type Address } from '@watershed/runtime/address.ts';
import { parseNodeId } from './bootstrap.ts';

/** In the order in which a node should try pushers: the ring's, as the pushers themselves have it. */
export function inOrder(addresses: readonly Address[], node: string): readonly Address[] {
  if (addresses.length < 2) return addresses;
  const byName = new Map(addresses.map((address) => [formatAddress(address), address]));
  const order = ringOf(byName.keys()).order(parseNodeId(node).namespace);
  return order.flatMap((name) => byName.get(name) ?? []);
}
