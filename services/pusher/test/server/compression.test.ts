import { connect, type ClientHttp2Session } from 'node:http2';
import { deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib';
import {
  DiscoveryRequest,
  DiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { Client, compressionAlgorithms, credentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { Compressor, decompress } from '../../src/server/compression.ts';
import { transports, type Transport } from '../../src/server/transports.ts';
import { CDS } from '../session/support.ts';
import { contentOf, node, SotwClient } from '../support/client.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, until, type Running } from '../support/world.ts';

const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const open: { close(): void }[] = [];
let running: Running | undefined;

afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await running?.stop();
  running = undefined;
});

const path = '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources';

function frame(message: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

interface Answer {
  readonly headers: Record<string, unknown>;
  readonly messages: { readonly flags: number; readonly bytes: Buffer }[];
}

/** One stream by hand: sends `body`, and keeps what comes as it comes. */
function stream(port: number, headers: Record<string, string>, body: Buffer): Answer {
  const session: ClientHttp2Session = connect(`http://127.0.0.1:${port}`);
  session.on('error', () => undefined);
  open.push({ close: () => session.destroy() });
  const call = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  const answer: Answer = { headers: {}, messages: [] };
  let pending = Buffer.alloc(0);
  call.on('response', (got) => Object.assign(answer.headers, got));
  call.on('trailers', (got) => Object.assign(answer.headers, got));
  call.on('error', () => undefined);
  call.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 5 && pending.length >= 5 + pending.readUInt32BE(1)) {
      const end = 5 + pending.readUInt32BE(1);
      answer.messages.push({ flags: pending[0] ?? 0, bytes: pending.subarray(5, end) });
      pending = pending.subarray(end);
    }
  });
  call.write(body);
  return answer;
}

const request = Buffer.from(
  DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ node: node(), typeUrl: CDS })).finish(),
);

/** Compresses well. */
const clusters = Object.fromEntries(
  Array.from({ length: 200 }, (_, i) => [`outbound|80||service-${i}.shop.svc.cluster.local`, '1']),
);

async function start(transport?: Transport): Promise<number> {
  running = await run(transport === undefined ? {} : { transport });
  await running.translator.publish({ [CDS]: clusters }, scopes);
  return running.port;
}

describe('responses', () => {
  it.each([
    ['gzip', 'identity,deflate,gzip', gunzipSync],
    ['deflate', 'deflate', inflateSync],
  ])('go out as %s to a client that takes %s', async (encoding, accepted, expand) => {
    const port = await start();
    const got = stream(port, { 'grpc-accept-encoding': accepted }, frame(request));
    await until('a response', () => got.messages.length === 1);
    expect(got.headers).toMatchObject({
      'grpc-encoding': encoding,
      'grpc-accept-encoding': 'identity,deflate,gzip',
    });
    const [message] = got.messages;
    expect(message?.flags).toBe(1);
    const response = DiscoveryResponse.decode(expand(message?.bytes ?? Buffer.alloc(0)));
    expect(contentOf(response)).toEqual(clusters);
  });

  it("go out as they are over grpc-js: its library's servers compress nothing", async () => {
    const port = await start('grpc-js');
    const got = stream(port, { 'grpc-accept-encoding': 'identity,deflate,gzip' }, frame(request));
    await until('a response', () => got.messages.length === 1);
    expect([undefined, 'identity']).toContain(got.headers['grpc-encoding']);
    expect(got.headers['grpc-accept-encoding']).toBe('identity,deflate,gzip');
    const [message] = got.messages;
    expect(message?.flags).toBe(0);
    const response = DiscoveryResponse.decode(message?.bytes ?? Buffer.alloc(0));
    expect(contentOf(response)).toEqual(clusters);
  });

  it('go out as they are to a client that takes nothing else', async () => {
    const port = await start();
    for (const headers of [{}, { 'grpc-accept-encoding': 'identity, br' }]) {
      const got = stream(port, headers, frame(request));
      await until('a response', () => got.messages.length === 1);
      expect(got.headers['grpc-encoding']).toBeUndefined();
      expect(got.messages[0]?.flags).toBe(0);
    }
  });

  it('are read by the reference library, which takes gzip', async () => {
    const port = await start();
    const client = new SotwClient(port);
    open.push(client);
    client.request(CDS);
    expect(contentOf(await client.next())).toEqual(clusters);
  });

  it('are compressed once for all streams, and not where that does not pay', () => {
    const compressor = new Compressor({ compressFromBytes: 100, compressToBytes: 10_000 });
    const shared = frame(Buffer.alloc(1_000, 'x'));
    const once = compressor.of(shared, 'gzip');
    expect(once.length).toBeLessThan(100);
    expect(compressor.of(shared, 'gzip')).toBe(once);
    expect(compressor.of(shared, 'deflate')).not.toBe(once);
    const noise = Buffer.from(Array.from({ length: 1_000 }, (_, i) => (i * i * 7_919) % 251));
    for (const plain of [
      frame(Buffer.alloc(50)),
      frame(Buffer.alloc(20_000)),
      frame(gzipSync(noise)),
    ]) {
      expect(compressor.of(plain, 'gzip')).toBe(plain);
    }
  });
});

describe('requests', () => {
  it.each(
    transports.flatMap((transport) => [
      { transport, encoding: 'gzip', shrink: gzipSync },
      { transport, encoding: 'deflate', shrink: deflateSync },
    ]),
  )('may be $encoding over $transport', async ({ transport, encoding, shrink }) => {
    const port = await start(transport);
    const got = stream(port, { 'grpc-encoding': encoding }, frame(shrink(request), 1));
    await until('a response', () => got.messages.length === 1);
    // Each message says for itself whether it is.
    const plain = stream(port, { 'grpc-encoding': encoding }, frame(request));
    await until('a response', () => plain.messages.length === 1);
  });

  it.each(transports)(
    'in what nobody knows are refused with what is known, over %s',
    async (by) => {
      const port = await start(by);
      const got = stream(port, { 'grpc-encoding': 'br' }, frame(request, 1));
      await until('the end', () => got.headers['grpc-status'] !== undefined);
      expect(got.headers['grpc-status']).toBe('12');
      const known = String(got.headers['grpc-accept-encoding']).split(',').toSorted();
      expect(known).toEqual(['deflate', 'gzip', 'identity']);
    },
  );

  it('that are not what they say end the call', async () => {
    const port = await start();
    const got = stream(port, { 'grpc-encoding': 'gzip' }, frame(request, 1));
    await until('the end', () => got.headers['grpc-status'] !== undefined);
    expect(got.headers['grpc-status']).toBe('13');
  });

  it.each(transports)('that are bombs do not go off over %s', async (transport) => {
    running = await run({ transport, serverLimits: { maxMessageBytes: 4 * 1024 * 1024 } });
    const bomb = gzipSync(Buffer.alloc(8 * 1024 * 1024));
    const got = stream(running.port, { 'grpc-encoding': 'gzip' }, frame(bomb, 1));
    await until('the end', () => got.headers['grpc-status'] !== undefined);
    expect(got.headers['grpc-status']).toBe('8');
    expect(running.pusher.hub.streams.size).toBe(0);
  });

  it('may grow a hundred times, and a small one to 1 MiB', () => {
    const limits = { maxMessageBytes: 16 * 1024 * 1024 };
    const small = gzipSync(Buffer.alloc(1024 * 1024));
    expect(decompress(small, 'gzip', limits)).toHaveLength(1024 * 1024);
    const large = gzipSync(Buffer.alloc(8 * 1024 * 1024));
    expect(decompress(large, 'gzip', limits)).toMatchObject({ code: 8 });
  });
});

it('a client of the reference library that compresses is understood', async () => {
  const port = await start();
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.default_compression_algorithm': compressionAlgorithms.gzip,
    'grpc.use_local_subchannel_pool': 1,
  });
  open.push(client);
  const same = (bytes: Buffer): Buffer => bytes;
  const call = client.makeBidiStreamRequest(path, same, same);
  call.on('error', () => undefined);
  const responses: Buffer[] = [];
  call.on('data', (bytes: Buffer) => responses.push(bytes));
  call.write(request);
  await until('a response', () => responses.length === 1);
});
