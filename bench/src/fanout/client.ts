/** A process of clients: holds many streams, one connection each, and ACKs whatever comes. */
import {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { FieldReader } from '@watershed/pusher/wire.ts';
import { nodeIdOf, type ClientOrder, type ClientReport } from './messages.ts';
import { framed, RawStream } from './raw-stream.ts';

type Open = Extract<ClientOrder, { kind: 'open' }>;

const service = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
const typeUrl = resourceTypes.cluster;
/** Streams that are opened at once. */
const batch = 200;

let streams: RawStream[] = [];
let acked = 0;
let resourceBytes = 0;
/** What the first response of this process had: name to version. */
let versions: Record<string, string> | undefined;
/** The same response goes to many streams, and so does its ACK. */
let ackNonce = '';
let ackVersion = '';
let ackFrame: Buffer = Buffer.alloc(0);

process.on('message', (order: ClientOrder) => {
  if (order.kind === 'open') void open(order).then(() => report({ kind: 'open' }));
  else close();
});

/** Told now and then: a message for each ACK would be what is measured. */
setInterval(() => report({ kind: 'acked', count: acked }), 20).unref();

function report(message: ClientReport): void {
  if (process.connected) process.send?.(message);
}

function close(): void {
  for (const stream of streams) stream.close();
  streams = [];
  report({ kind: 'closed', resourceBytes });
  resourceBytes = 0;
}

async function open(order: Open): Promise<void> {
  const { from, count } = order;
  for (let at = 0; at < count; at += batch) {
    const some = Array.from({ length: Math.min(batch, count - at) }, (_, i) => from + at + i);
    await Promise.all(some.map((index) => openOne(order, index)));
  }
}

/** Resolves with the first response; one that resumes, with the response's headers. */
function openOne(order: Open, index: number): Promise<void> {
  const { port, localAddress, mode, resume } = order;
  return new Promise((resolve) => {
    const stream = new RawStream({
      port,
      localAddress,
      path: `${service}/${mode === 'delta' ? 'Delta' : 'Stream'}AggregatedResources`,
      first: firstOf(order, index),
      onHeaders: () => resume && resolve(),
      onMessage: (bytes, start, end) => {
        acknowledge(order, stream, bytes, start, end);
        resolve();
      },
      onFail: (error) => {
        throw new Error(`a stream to port ${port} failed`, { cause: error });
      },
    });
    streams.push(stream);
  });
}

function firstOf({ mode, resume }: Open, index: number): Uint8Array {
  const node = { id: nodeIdOf(index) };
  if (mode === 'sotw') {
    return DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ node, typeUrl })).finish();
  }
  const initialResourceVersions = resume ? (versions ?? {}) : {};
  return DeltaDiscoveryRequest.encode(
    DeltaDiscoveryRequest.fromPartial({ node, typeUrl, initialResourceVersions }),
  ).finish();
}

function acknowledge(
  { mode }: Open,
  stream: RawStream,
  bytes: Buffer,
  start: number,
  end: number,
): void {
  const fields = new FieldReader(bytes, start);
  fields.until = end;
  let nonce = '';
  let version = '';
  const learns = versions === undefined && mode === 'delta';
  if (learns) versions = {};
  while (fields.next()) {
    if (fields.field === 1) version = fields.text();
    else if (fields.field === 2) {
      resourceBytes += fields.end - fields.start;
      if (learns) learn(fields.content());
    } else if (fields.field === 5) nonce = fields.text();
  }
  if (nonce !== ackNonce || version !== ackVersion) {
    ackNonce = nonce;
    ackVersion = version;
    ackFrame = framed(ackOf(mode, nonce, version));
  }
  acked++;
  stream.write(ackFrame);
}

function ackOf(mode: Open['mode'], responseNonce: string, versionInfo: string): Uint8Array {
  if (mode === 'delta') {
    const partial = { typeUrl, responseNonce };
    return DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(partial)).finish();
  }
  const partial = { typeUrl, responseNonce, versionInfo };
  return DiscoveryRequest.encode(DiscoveryRequest.fromPartial(partial)).finish();
}

/** A Resource: version 1, name 3. */
function learn(resource: Uint8Array): void {
  const fields = new FieldReader(resource);
  let [name, version] = ['', ''];
  while (fields.next()) {
    if (fields.field === 1) version = fields.text();
    else if (fields.field === 3) name = fields.text();
  }
  if (versions !== undefined) versions[name] = version;
}

process.on('disconnect', () => process.exit());
