/** A process of clients: each stream holds one assignment, and ACKs whatever comes at once. */
import { DeltaDiscoveryRequest } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { FieldReader } from '@watershed/pusher/wire.ts';
import { framed, RawStream } from '../fanout/raw-stream.ts';
import { stampIn, stampNow, type OpenOrder, type Order, type Report } from './messages.ts';

const path = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
const typeUrl = resourceTypes.endpoint;
/** Streams that are opened at once. */
const batch = 200;
const maxSamples = 200_000;

interface Held {
  readonly name: string;
  stamp: number;
}

const held: Held[] = [];
let acked = 0;
let samples: number[] = [];
/** Streams of one assignment get the same response. */
const acks = new Map<string, Buffer>();

process.on('message', (order: Order) => {
  void obey(order).then(() => process.send?.(report()));
});
process.on('disconnect', () => process.exit());

async function obey(order: Order): Promise<void> {
  if (order.kind === 'open') await open(order);
  if (order.kind !== 'mark') return;
  acked = 0;
  samples = [];
}

function report(): Report {
  const reached: Record<string, number> = {};
  for (const { name, stamp } of held) reached[name] = Math.min(reached[name] ?? stamp, stamp);
  return { streams: held.length, acked, latencies: samples.toSorted((a, b) => a - b), reached };
}

async function open(order: OpenOrder): Promise<void> {
  for (let at = 0; at < order.streams; at += batch) {
    const count = Math.min(batch, order.streams - at);
    await Promise.all(
      Array.from({ length: count }, (_, i) => openOne(order, order.first + at + i)),
    );
  }
}

function openOne({ ports, names }: OpenOrder, index: number): Promise<void> {
  const one: Held = { name: names[index % names.length] ?? '', stamp: -1 };
  const id = `sidecar~10.0.0.1~p-${index}.bench~bench.svc.cluster.local`;
  const first = { node: { id }, typeUrl, resourceNamesSubscribe: [one.name] };
  held.push(one);
  return new Promise((resolve, reject) => {
    const stream = new RawStream({
      port: ports[index % ports.length] ?? 0,
      localAddress: `127.0.${1 + (Math.floor(index / 200) % 50)}.${1 + (index % 200)}`,
      path,
      first: DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(first)).finish(),
      onHeaders: () => undefined,
      onMessage: (bytes, start, end) => {
        stream.write(ackOf(bytes, start, end));
        take(one, stampIn(bytes, start, end));
        resolve();
      },
      onFail: (error) => {
        // A stream that ends is a result that cannot be believed.
        reject(error);
        throw error;
      },
    });
  });
}

function take(one: Held, stamp: number): void {
  acked++;
  if (stamp > one.stamp) one.stamp = stamp;
  const age = (stampNow() - stamp) / 10;
  if (stamp < 0) return;
  if (samples.length < maxSamples) samples.push(age);
  else {
    const at = Math.floor(Math.random() * acked);
    if (at < maxSamples) samples[at] = age;
  }
}

function ackOf(bytes: Buffer, start: number, end: number): Buffer {
  const fields = new FieldReader(bytes, start);
  fields.until = end;
  let responseNonce = '';
  while (fields.next()) if (fields.field === 5) responseNonce = fields.text();
  let frame = acks.get(responseNonce);
  if (frame === undefined) {
    if (acks.size > 1_000) acks.clear();
    const ack = DeltaDiscoveryRequest.fromPartial({ typeUrl, responseNonce });
    frame = framed(DeltaDiscoveryRequest.encode(ack).finish());
    acks.set(responseNonce, frame);
  }
  return frame;
}
