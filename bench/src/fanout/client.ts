/**
 * Holds many delta streams, one connection each, and ACKs whatever comes. As cheap as a client can
 * be, so that the server is what is measured.
 */
import { connect, type ClientHttp2Stream } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { DeltaDiscoveryRequest } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { FieldReader } from '@watershed/pusher/wire.ts';
import { nodeIdOf, type ClientOrder, type ClientReport } from './messages.ts';

const path = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
let acked = 0;

process.on('message', (order: ClientOrder) => {
  void open(order).then(() => report({ kind: 'open' }));
});

/** Told now and then: a message for each ACK would be what is measured. */
setInterval(() => report({ kind: 'acked', count: acked }), 20).unref();

function report(message: ClientReport): void {
  if (process.connected) process.send?.(message);
}

async function open({ port, from, count }: ClientOrder): Promise<void> {
  const batch = 200;
  for (let at = 0; at < count; at += batch) {
    const some = Array.from({ length: Math.min(batch, count - at) }, (_, i) => from + at + i);
    await Promise.all(some.map((index) => stream(port, index)));
  }
}

/** Resolves with the first response. */
function stream(port: number, index: number): Promise<void> {
  // 28,000 ports per pair of addresses: several addresses for more.
  const localAddress = `127.1.${Math.floor(index / 4_000)}.1`;
  const session = connect(`http://127.0.0.1:${port}`, {
    createConnection: () => connectSocket({ port, host: '127.0.0.1', localAddress, noDelay: true }),
    settings: { initialWindowSize: 16 * 1024 * 1024 },
  });
  const call = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const node = { id: nodeIdOf(index) };
  send(call, DeltaDiscoveryRequest.fromPartial({ node, typeUrl: resourceTypes.cluster }));
  return new Promise((resolve, reject) => {
    session.on('error', reject);
    call.on('error', reject);
    let pending: Buffer[] = [];
    let size = 0;
    call.on('data', (chunk: Buffer) => {
      pending.push(chunk);
      size += chunk.length;
      for (;;) {
        const [head] = pending;
        if (head === undefined || size < 5) return;
        const bytes = head.length >= 5 ? head : Buffer.concat(pending);
        const length = 5 + bytes.readUInt32BE(1);
        if (size < length) return;
        const all = pending.length === 1 ? head : Buffer.concat(pending);
        ack(call, all.subarray(5, length));
        resolve();
        pending = size > length ? [all.subarray(length)] : [];
        size -= length;
      }
    });
  });
}

function ack(call: ClientHttp2Stream, response: Uint8Array): void {
  const fields = new FieldReader(response);
  let nonce = '';
  while (fields.next()) if (fields.field === 5) nonce = fields.text();
  acked++;
  send(
    call,
    DeltaDiscoveryRequest.fromPartial({ typeUrl: resourceTypes.cluster, responseNonce: nonce }),
  );
}

function send(call: ClientHttp2Stream, request: DeltaDiscoveryRequest): void {
  const message = DeltaDiscoveryRequest.encode(request).finish();
  const framed = Buffer.alloc(5 + message.length);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, 5);
  call.write(framed);
}

process.on('disconnect', () => process.exit());
