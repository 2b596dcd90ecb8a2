import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { topics } from '@watershed/model/keys.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeAuthority } from '../../../../test/components/certificates.ts';
import { CDS, EDS } from '../session/support.ts';
import { contentOf, deltaAds, DeltaClient, node, nodeId } from '../support/client.ts';
import {
  flags,
  frame,
  frames,
  grpcHeaders,
  headerBlock,
  message,
  RawHttp2,
  setting,
  uint32,
} from '../support/raw-http2.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, until, type Running } from '../support/world.ts';

describe.each(['http2', 'net'] as const)('hostile clients of %s', (transport) => {
  const authority = makeAuthority('test roots');
  const certificate = authority.issue({ commonName: 'server', names: ['127.0.0.1'] });
  const scope = scopeOfNode();
  const scopes = { [scope.id]: scope.scopeClass };
  const open: { close(): void }[] = [];
  let running: Running;
  let innocent: DeltaClient;
  let version = 0;
  let memoryBefore = 0;
  const maxScopes = 5;

  /** What all clients get. */
  const shop = (of: number): Record<string, string> =>
    Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`c${i}`, of + 'x'.repeat(2_000)]));

  beforeAll(async () => {
    running = await run({
      transport,
      frameCacheBytes: 1024 * 1024,
      // The innocent one is probed too, and shares this process with floods.
      serverLimits: {
        idleMs: 300,
        probeMs: 2_000,
        handshakeMs: 300,
        maxMessageBytes: 1024 * 1024,
      },
      tls: {
        address: { host: '127.0.0.1', port: 0 },
        source: {
          current: { key: certificate.key, cert: certificate.certificate },
          watch: () => undefined,
          stop: () => undefined,
        },
      },
      sessionLimits: { ackWaitMs: 50, maxNames: 1_000, maxTypes: 8 },
      maxScopesOfNamespace: maxScopes,
    });
    await running.translator.publish({ [CDS]: shop(version) }, scopes);
    innocent = new DeltaClient(
      running.port,
      node('sidecar~10.0.0.9~innocent-1.shop~shop.svc.cluster.local'),
    );
    innocent.request(CDS);
    innocent.ack(await innocent.next());
    memoryBefore = memory();
  });

  afterAll(async () => {
    innocent.close();
    await running.stop();
  });

  /** Each test ends with the innocent client next to the hostile one being served. */
  afterEach(async () => {
    version++;
    await running.translator.publish({ [CDS]: shop(version) }, scopes);
    const response = await innocent.next();
    expect(contentOf(response)['c0']?.startsWith(String(version))).toBe(true);
    innocent.ack(response);
    for (const client of open.splice(0)) client.close();
    await until('only the innocent one is left', () => running.pusher.hub.streams.size === 1);
  });

  setFlagsFromString('--expose-gc');
  const collectGarbage: unknown = runInNewContext('gc');

  /** Of the whole process without garbage, the hostile clients' part as well. */
  function memory(): number {
    if (typeof collectGarbage === 'function') collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  }

  function raw(settings?: Buffer): RawHttp2 {
    const client = new RawHttp2(running.port, settings);
    open.push(client);
    return client;
  }

  function headers(stream: number, path = deltaAds): Buffer {
    return frame(frames.headers, flags.endHeaders, stream, grpcHeaders(path));
  }

  function delta(of: Parameters<typeof DeltaDiscoveryRequest.fromPartial>[0]): Uint8Array {
    return DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(of)).finish();
  }

  const first = message(delta({ node: node(), typeUrl: CDS }));

  async function refused(client: RawHttp2, stream: number): Promise<void> {
    await until('the stream is answered and over', () => {
      const last = client.received.findLast((one) => one.stream === stream);
      return (
        last?.type === frames.reset ||
        (last?.type === frames.headers && (last.flags & flags.endStream) !== 0)
      );
    });
  }

  /** Sends the same many times, as fast as it is taken; ends when the server closes, or all is sent. */
  async function flood(
    client: RawHttp2,
    part: (i: number) => Buffer,
    times: number,
  ): Promise<void> {
    for (let i = 0; i < times && !client.closed; i++) {
      if (client.send(part(i)) && i % 64 !== 0) continue;
      await new Promise((resolve) => {
        setTimeout(resolve, i % 64 === 0 ? 0 : 1);
      });
    }
  }

  describe('floods end the connection', () => {
    it('of streams that are reset at once (CVE-2023-44487)', async () => {
      const client = raw();
      await flood(
        client,
        (i) => Buffer.concat([headers(2 * i + 1), frame(frames.reset, 0, 2 * i + 1, uint32(8))]),
        5_000,
      );
      await until('it is closed', () => client.closed);
      expect(running.pusher.hub.streams.size).toBe(1);
    });

    it('of streams that make the server reset them (CVE-2025-8671)', async () => {
      const client = raw();
      // A WINDOW_UPDATE of 0 is an error of the stream.
      await flood(
        client,
        (i) =>
          Buffer.concat([headers(2 * i + 1), frame(frames.windowUpdate, 0, 2 * i + 1, uint32(0))]),
        5_000,
      );
      await until('it is closed', () => client.closed);
    });

    it('of CONTINUATION frames without an end (CVE-2024-27983)', async () => {
      const client = raw();
      const more = headerBlock([['x', 'y'.repeat(10_000)]]);
      client.send(frame(frames.headers, 0, 1, grpcHeaders(deltaAds)));
      await flood(client, () => frame(frames.continuation, 0, 1, more), 5_000);
      await until('it is closed', () => client.closed);
    });

    it('of empty CONTINUATION frames', async () => {
      const client = raw();
      client.send(frame(frames.headers, 0, 1, grpcHeaders(deltaAds)));
      await flood(client, () => frame(frames.continuation, 0, 1), 100_000);
      await until('it is closed', () => client.closed);
    });

    it('of SETTINGS, whose answers are not read (CVE-2019-9515)', async () => {
      const client = raw();
      client.socket.pause();
      const settings = frame(frames.settings, 0, 0, setting(4, 65_535));
      await flood(client, () => Buffer.concat(Array.from({ length: 64 }, () => settings)), 20_000);
      client.socket.resume();
      await until('it is closed', () => client.closed);
    });

    it('of PING, whose answers are not read (CVE-2019-9512)', async () => {
      const client = raw();
      client.socket.pause();
      const ping = frame(frames.ping, 0, 0, Buffer.alloc(8));
      await flood(client, () => Buffer.concat(Array.from({ length: 64 }, () => ping)), 20_000);
      client.socket.resume();
      await until('it is closed', () => client.closed);
    });

    it('of a window that is opened beyond what there is', async () => {
      const client = raw();
      await flood(client, () => frame(frames.windowUpdate, 0, 0, uint32(0x7fffffff)), 10);
      await until('it is closed', () => client.closed);
    });
  });

  describe('what a client may hold open is bounded', () => {
    it('a window of 0 costs one response: nothing is sent, and nothing piles up', async () => {
      const client = raw(setting(4, 0));
      client.send(headers(1), frame(frames.data, 0, 1, first));
      await until('the stream', () => running.pusher.hub.streams.size === 2);
      for (let round = 0; round < 5; round++) {
        version++;
        await running.translator.publish({ [CDS]: shop(version) }, scopes);
        innocent.ack(await innocent.next());
      }
      expect(client.of(frames.data)).toEqual([]);
      // A byte at a time is not refused: it is what flow control is for.
      await flood(client, () => frame(frames.windowUpdate, 0, 1, uint32(1)), 100);
      await until('so many bytes', () => client.of(frames.data).length > 0);
      const bytes = client.of(frames.data).reduce((sum, { payload }) => sum + payload.length, 0);
      expect(bytes).toBeLessThanOrEqual(100);
    });

    it('answers of a health watch, which anybody may ask for: it is asked once', async () => {
      const client = raw();
      const asked = message(Buffer.alloc(0));
      client.send(headers(1, '/grpc.health.v1.Health/Watch'), frame(frames.data, 0, 1, asked));
      await until('it is answered', () => client.of(frames.data).length === 1);
      client.send(frame(frames.data, 0, 1, Buffer.concat([asked, asked])));
      await refused(client, 1);
      expect(client.of(frames.data)).toHaveLength(1);
    });

    it('streams of one connection: more are refused, the others go on', async () => {
      const client = raw();
      for (let i = 0; i < 150; i++) client.send(headers(2 * i + 1));
      await until('refusals', () => client.of(frames.reset).length >= 50);
      expect(running.pusher.hub.streams.size).toBe(101);
    });

    it('headers: more than the limit are refused', async () => {
      const client = raw();
      const fields = Array.from({ length: 40 }, (_, i) => [`x-${i}`, 'y'.repeat(1_000)] as const);
      const block = grpcHeaders(deltaAds, fields);
      const parts = [frame(frames.headers, 0, 1, block.subarray(0, 16_000))];
      for (let at = 16_000; at < block.length; at += 16_000) {
        const flag = at + 16_000 >= block.length ? flags.endHeaders : 0;
        parts.push(frame(frames.continuation, flag, 1, block.subarray(at, at + 16_000)));
      }
      client.send(...parts);
      await refused(client, 1);
      expect(running.pusher.hub.streams.size).toBe(1);
    });

    it('sockets that say nothing at all, or stop in the middle of a frame, are closed', async () => {
      const silent = connect(running.port, '127.0.0.1');
      let closed = 0;
      silent.on('close', () => closed++);
      silent.on('error', () => undefined);
      silent.resume();
      open.push({ close: () => void silent.destroy() });
      const half = raw();
      half.answersPings = false;
      half.send(headers(1), Buffer.from([0, 0xff]));
      await until('both are closed', () => closed === 1 && half.closed);
    });
  });

  describe('over TLS', () => {
    const tlsPort = (): number => Number(running.pusher.tlsAddress?.split(':').at(-1));

    it.each([
      ['says nothing at all', Buffer.alloc(0)],
      ['stops in the middle of the handshake', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01])],
      ['speaks plaintext', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
    ])('a client that %s is closed', async (_what, bytes) => {
      const socket = connect(tlsPort(), '127.0.0.1');
      open.push({ close: () => void socket.destroy() });
      let closed = false;
      socket.on('error', () => undefined);
      socket.on('close', () => {
        closed = true;
      });
      socket.resume();
      socket.write(bytes);
      await until('it is closed', () => closed);
    });

    it.each([[['http/1.1']], [[]]])(
      'a client that offers %j, and not HTTP/2, is closed',
      async (ALPNProtocols) => {
        const socket = connectTls({
          port: tlsPort(),
          host: '127.0.0.1',
          rejectUnauthorized: false,
          ALPNProtocols,
        });
        open.push({ close: () => void socket.destroy() });
        let closed = false;
        socket.on('error', () => undefined);
        socket.on('close', () => {
          closed = true;
        });
        socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'));
        socket.resume();
        await until('it is closed', () => closed);
      },
    );
  });

  describe('what is not gRPC or not xDS is refused', () => {
    it.each([
      ['a path without a slash (CVE-2026-33186)', deltaAds.slice(1)],
      ['a path with another prefix', `/x${deltaAds}`],
      ['a path that is a name of every object', '__proto__'],
      ['a path of a method that is no method', '/constructor/toString'],
      ['an empty path', ''],
    ])('%s reaches no service', async (_what, path) => {
      const client = raw();
      client.send(headers(1, path), frame(frames.data, 0, 1, first));
      await refused(client, 1);
      expect(running.pusher.hub.streams.size).toBe(1);
      expect(client.of(frames.data)).toEqual([]);
    });

    it('a message of more than a name to what anybody may ask', async () => {
      const client = raw();
      const head = Buffer.from([0, 0, 0, 0x20, 0]);
      client.send(headers(1, '/grpc.health.v1.Health/Check'), frame(frames.data, 0, 1, head));
      await refused(client, 1);
    });

    it('a message that says it is larger than may be', async () => {
      const client = raw();
      client.send(headers(1), frame(frames.data, 0, 1, Buffer.from([0, 0x7f, 0xff, 0xff, 0xff])));
      await refused(client, 1);
    });

    it.each([
      ['bytes that are no message', Buffer.from([0xff, 0xff, 0xff, 0xff])],
      ['a field that ends behind the message', Buffer.from([0x0a, 0x7f])],
      ['no node', delta({ typeUrl: CDS })],
      ['more types than may be', undefined],
    ])('%s', async (_what, bytes) => {
      const client = raw();
      client.send(headers(1));
      if (bytes === undefined) {
        const types = Array.from({ length: 9 }, (_, i) =>
          delta({ node: node(), typeUrl: `t/${i}` }),
        );
        client.send(...types.map((one) => frame(frames.data, 0, 1, message(one))));
      } else client.send(frame(frames.data, 0, 1, message(bytes)));
      await refused(client, 1);
    });

    it('more names than may be, at once, held from before, or one after the other, and texts that are too long', async () => {
      const names = (count: number, from = 0): string[] =>
        Array.from({ length: count }, (_, i) => `n${from + i}`);
      const held = Object.fromEntries(names(1_001).map((name) => [name, 'x']));
      const requests = [
        [{ resourceNamesSubscribe: names(1_001) }],
        [{ resourceNamesUnsubscribe: names(1_001) }],
        [{ initialResourceVersions: held }],
        [{ resourceNamesSubscribe: names(600) }, { resourceNamesSubscribe: names(600, 600) }],
        [{ resourceNamesSubscribe: ['x'.repeat(2_000)] }],
        [{ initialResourceVersions: { x: 'x'.repeat(2_000) } }],
        [{ typeUrl: 'x'.repeat(2_000) }],
      ];
      for (const [at, parts] of requests.entries()) {
        const client = new DeltaClient(running.port);
        open.push(client);
        for (const part of parts) client.request(EDS, part);
        expect([at, (await client.ended()).code]).toEqual([at, at < 4 ? 8 : 3]);
      }
    });

    it('texts that are too long, each another one, of which none is kept', async () => {
      for (let at = 0; at < 50; at++) {
        const text = `${at}`.padEnd(900_000, 'x');
        const requests = [
          { resourceNamesSubscribe: [text] },
          { initialResourceVersions: { [text]: 'x' } },
          { typeUrl: text, initialResourceVersions: { x: 'x' } },
        ];
        const client = new DeltaClient(running.port);
        open.push(client);
        client.request(EDS, requests[at % requests.length]);
        expect((await client.ended()).code).toBe(3);
      }
    });

    it('metadata and Anys that are nested a thousand deep', async () => {
      let nested: Buffer = Buffer.alloc(0);
      const wrap = (field: number, content: Buffer): Buffer => {
        const length: number[] = [];
        let rest = content.length;
        for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
        return Buffer.concat([Buffer.from([(field << 3) | 2, ...length, rest]), content]);
      };
      // A Struct in a Value in a Struct …: fields 1 (entry), 2 (value), 5 (struct).
      for (let i = 0; i < 1_000; i++) nested = wrap(1, wrap(2, wrap(5, nested)));
      const bytes = wrap(1, Buffer.concat([wrap(1, Buffer.from(nodeId)), wrap(3, nested)]));
      const client = raw();
      client.send(headers(1), frame(frames.data, 0, 1, message(bytes)));
      await refused(client, 1);
      // In what a client says of an error, nothing is opened: details are not read.
      let any: Buffer = Buffer.alloc(0);
      for (let i = 0; i < 1_000; i++) any = wrap(2, any);
      const error = wrap(7, Buffer.concat([wrap(2, Buffer.from('bad')), wrap(3, any)]));
      const other = raw();
      other.send(headers(1), frame(frames.data, 0, 1, first));
      const nack = Buffer.concat([delta({ typeUrl: CDS }), error]);
      other.send(frame(frames.data, 0, 1, message(nack)));
      await until('it is served', () => other.of(frames.data).length > 0);
    });
  });

  describe('what a client says it is or has gives it nothing', () => {
    it('names that every object has are names like others', async () => {
      const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'];
      const client = new DeltaClient(running.port);
      open.push(client);
      client.request(EDS, { resourceNamesSubscribe: names });
      const response = await client.next();
      expect([...response.removedResources].sort()).toEqual([...names].sort());
      expect(Object.getPrototypeOf({})).toBe(Object.prototype);
    });

    it('false initial_resource_versions: it gets what it really has not, and what is gone (rule 42)', async () => {
      const client = new DeltaClient(running.port);
      open.push(client);
      client.request(CDS, {
        initialResourceVersions: { c0: 'false', gone: '1', ['x'.repeat(300)]: '\u0000' },
      });
      const response = await client.next();
      expect(Object.keys(contentOf(response)).sort()).toEqual(Object.keys(shop(0)).sort());
      client.ack(response);
      // Removals go last.
      expect((await client.next()).removedResources).toContain('gone');
    });

    it('a node of another tenant is placed in that one only, and gets nothing of ours', async () => {
      const client = new DeltaClient(
        running.port,
        node('sidecar~10.0.0.1~web-1.other~other.svc.cluster.local'),
      );
      open.push(client);
      client.request(CDS);
      expect(await client.quiet()).toBe(true);
      // And within a stream nobody becomes another (rule 2).
      client.send(DeltaDiscoveryRequest.fromPartial({ node: node(), typeUrl: CDS }));
      expect((await client.ended()).code).toBe(3);
    });

    it('a node whose texts would move a terminal is refused', async () => {
      const client = new DeltaClient(running.port, node(nodeId.replace('web-1', '\u001b[2Jweb-1')));
      open.push(client);
      client.request(CDS);
      expect((await client.ended()).code).toBe(3);
    });

    it('it is of ever new kinds: so many scopes of its namespace are held, in use or not', async () => {
      const of = (namespace: string, kind: number): DeltaClient => {
        const id = `sidecar~10.0.0.1~web-1.${namespace}~${namespace}.svc.cluster.local`;
        const client = new DeltaClient(running.port, node(id, { CLUSTER_ID: `c${kind}` }));
        open.push(client);
        client.request(CDS);
        return client;
      };
      const { hub } = running.pusher;
      const before = hub.scopes;
      // A stream is there before its first message is.
      const placed = (): number =>
        [...hub.streams].filter(({ tenant, scope }) => tenant === 'many' && scope !== '').length;
      for (let kind = 0; kind < 12; kind++) {
        const client = of('many', kind);
        await until('it is placed', () => placed() === 1);
        client.close();
        await until('it is gone', () => hub.streams.size === 1);
      }
      expect(hub.scopes - before).toBe(maxScopes);
      const used = Array.from({ length: maxScopes }, (_, kind) => of('many', 100 + kind));
      await until('all are placed', () => placed() === used.length);
      expect((await of('many', 200).ended()).code).toBe(8);
      expect(await of('another', 0).quiet()).toBe(true);
      expect(hub.streams.size).toBe(2 + used.length);
    });

    it('a NACK again and again is told in a few lines, and to other pushers once', async () => {
      const client = new DeltaClient(running.port);
      open.push(client);
      client.request(CDS);
      const before = running.logs.length;
      const { log } = running.translator;
      const told = async (): Promise<number> => (await log.end(topics.feedback, 0)).offset;
      const start = await told();
      const startMs = performance.now();
      for (let at = 0; at < 100; at++) {
        const { nonce: responseNonce } = await client.next();
        const errorDetail = { code: 13, message: 'c0: \u001b[2Jno', details: [] };
        client.request(CDS, { responseNonce, errorDetail, resourceNamesSubscribe: ['c0'] });
      }
      await client.next();
      await until('it is told', async () => (await told()) > start);
      // Each resource that it may have meant, and what is said of scopes.
      expect((await told()) - start).toBeLessThan(30);
      const lines = running.logs.slice(before).filter((line) => line.includes('a proxy refused'));
      // At most ten a second, of so many as it took.
      const seconds = 1 + Math.ceil((performance.now() - startMs) / 1_000);
      expect(lines.length).toBeLessThanOrEqual(10 * seconds);
      expect(lines.some((line) => line.includes('[2Jno') && !line.includes(' [2Jno'))).toBe(false);
    });

    it('a stream that is answered state of the world does not take delta, and the reverse', async () => {
      const client = raw();
      const sotw = DiscoveryRequest.encode(
        DiscoveryRequest.fromPartial({ node: node(), typeUrl: CDS, resourceNames: ['a'] }),
      ).finish();
      client.send(headers(1), frame(frames.data, 0, 1, message(sotw)));
      await refused(client, 1);
    });
  });

  it('after all that, memory is where it was', async () => {
    // Buffers of sockets go in several turns.
    await until('it is', () => memory() - memoryBefore < 32 * 1024 * 1024);
  });
});
