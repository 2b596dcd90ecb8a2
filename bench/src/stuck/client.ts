/**
 * A process of clients, one connection each: some that take all and ACK it, and tell when it came,
 * or some that take the first bytes of a response and nothing more, ever.
 */
import { DeltaDiscoveryRequest } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { FieldReader } from '@watershed/pusher/wire.ts';
import { nodeIdOf } from '../fanout/messages.ts';
import { framed, RawStream } from '../fanout/raw-stream.ts';
import type { Order, Report } from './messages.ts';

const path = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
const typeUrl = resourceTypes.cluster;
/** Less than any response. */
const stuckWindow = 4_096;
/** Streams that are opened at once. */
const batch = 200;

/** Of the changes since they were last taken, by the clock that all processes share. */
let arrivedNs: number[] = [];
let wanted = 0;

process.on('message', (order: Order) => {
  if (order.kind === 'open') void open(order).then(() => report({ kind: 'open' }));
  else {
    wanted = order.arrivals;
    settle();
  }
});

process.on('disconnect', () => process.exit());

function report(message: Report): void {
  process.send?.(message);
}

function settle(): void {
  if (wanted === 0 || arrivedNs.length < wanted) return;
  wanted = 0;
  const all = arrivedNs;
  arrivedNs = [];
  report({ kind: 'arrived', atNs: all });
}

async function open(order: Extract<Order, { kind: 'open' }>): Promise<void> {
  for (let at = 0; at < order.count; at += batch) {
    const some = Array.from({ length: Math.min(batch, order.count - at) }, (_, i) => at + i);
    await Promise.all(some.map((index) => openOne(order, index)));
  }
  arrivedNs = [];
}

/** Resolves with the first response, or with its headers. */
function openOne(order: Extract<Order, { kind: 'open' }>, index: number): Promise<void> {
  const { port, localAddress, stuck } = order;
  const node = { id: nodeIdOf(index) };
  const first = DeltaDiscoveryRequest.fromPartial({ node, typeUrl });
  return new Promise((resolve) => {
    const stream: RawStream = new RawStream({
      ...{ port, localAddress, path, first: DeltaDiscoveryRequest.encode(first).finish() },
      ...(stuck ? { window: stuckWindow } : {}),
      onHeaders: () => stuck && resolve(),
      onMessage: (bytes, start, end) => {
        arrivedNs.push(Number(process.hrtime.bigint()));
        stream.write(ackOf(bytes, start, end));
        resolve();
        settle();
      },
      onFail: (error) => {
        throw error;
      },
    });
  });
}

/** The same response goes to many streams, and so does its ACK. */
let last: { readonly nonce: string; readonly frame: Buffer } = {
  nonce: '',
  frame: Buffer.alloc(0),
};

function ackOf(bytes: Buffer, start: number, end: number): Buffer {
  const fields = new FieldReader(bytes, start);
  fields.until = end;
  let nonce = '';
  while (fields.next()) if (fields.field === 5) nonce = fields.text();
  if (nonce !== last.nonce) {
    const ack = DeltaDiscoveryRequest.fromPartial({ typeUrl, responseNonce: nonce });
    last = { nonce, frame: framed(DeltaDiscoveryRequest.encode(ack).finish()) };
  }
  return last.frame;
}
