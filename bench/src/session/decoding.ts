import { resourceTypes } from '@watershed/proto/any.ts';
import { DiscoveryRequest } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { RequestDecoder } from '@watershed/pusher/session/request-codec.ts';
import { namesTo } from './views.ts';

const acks = 200;

export interface DecodingRow {
  readonly ack: string;
  readonly us: number[];
}

export function decoding(count: number, rounds: number): DecodingRow[] {
  const names = namesTo(count);
  const bytes = encoded(names);
  const decoder = new RequestDecoder([1n, 2n]);
  const { names: recent } = decoder.sotw(bytes, []);
  const same: DecodingRow = { ack: 'the same bytes as the last', us: [] };
  const other: DecodingRow = { ack: 'the same names in another order', us: [] };
  const moved = encoded([...names.slice(count >> 1), ...names.slice(0, count >> 1)]);
  for (let at = 0; at <= rounds; at++) {
    const us = [
      timed(() => decoder.sotw(bytes, [recent]).names),
      timed(() => decoder.sotw(moved, [recent]).names),
    ];
    if (at === 0) continue;
    same.us.push(us[0] ?? 0);
    other.us.push(us[1] ?? 0);
  }
  return [same, other];
}

function encoded(resourceNames: string[]): Buffer {
  const partial = { typeUrl: resourceTypes.endpoint, responseNonce: '1', resourceNames };
  return Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(partial)).finish());
}

function timed(work: () => unknown): number {
  const before = process.cpuUsage();
  for (let at = 0; at < acks; at++) work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / acks;
}
