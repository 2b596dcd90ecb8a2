import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { systemTime } from '@watershed/runtime/clock.ts';
import { afterEach, describe, expect, it } from 'vitest';
import type {
  CallHandler,
  Method,
  RpcServer,
  ServerCall,
  ServerLimits,
} from '../../src/server/port.ts';
import { createRpcServer } from '../../src/server/transports.ts';
import { loggerInto, until } from '../support/world.ts';

describe.each(['http2', 'net'] as const)('HTTP/2 by %s', (transport) => {
  const sessions: ClientHttp2Session[] = [];
  let server: RpcServer | undefined;

  afterEach(async () => {
    for (const session of sessions.splice(0)) session.destroy();
    await server?.stop(AbortSignal.timeout(500));
    server = undefined;
  });

  interface Seen {
    readonly messages: Buffer[];
    halfClosed: boolean;
    closed: boolean;
    drained: number;
    call: ServerCall;
  }

  /** A method that keeps what it is given. */
  function recorder(path: string, seen: Seen[]): Method {
    return {
      path,
      open: (call) => {
        const one: Seen = { messages: [], halfClosed: false, closed: false, drained: 0, call };
        seen.push(one);
        const handler: CallHandler = {
          message: (bytes) => one.messages.push(Buffer.from(bytes)),
          halfClosed: () => {
            one.halfClosed = true;
          },
          drain: () => one.drained++,
          closed: () => {
            one.closed = true;
          },
        };
        return handler;
      },
    };
  }

  async function start(seen: Seen[] = [], limits: Partial<ServerLimits> = {}): Promise<number> {
    server = createRpcServer(transport, {
      methods: [recorder('/a.B/C', seen)],
      time: systemTime,
      logger: loggerInto([]),
      limits,
    });
    return server.listen('127.0.0.1', 0);
  }

  function client(port: number): ClientHttp2Session {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on('error', () => undefined);
    sessions.push(session);
    return session;
  }

  const grpc = {
    ':method': 'POST',
    ':path': '/a.B/C',
    'content-type': 'application/grpc',
    te: 'trailers',
  };

  function open(port: number, headers: OutgoingHttpHeaders = grpc) {
    const stream = client(port).request(headers);
    const answer: Record<string, unknown> = {};
    const body: Buffer[] = [];
    let done = false;
    stream.on('response', (got) => Object.assign(answer, got));
    stream.on('trailers', (got) => Object.assign(answer, got));
    stream.on('data', (chunk: Buffer) => body.push(chunk));
    stream.on('error', () => undefined);
    stream.on('close', () => {
      done = true;
    });
    return {
      stream,
      answer,
      body,
      ended: async () => {
        await until('the stream ends', () => done);
        return answer;
      },
    };
  }

  function framed(message: Uint8Array, flags = 0): Buffer {
    const out = Buffer.alloc(5 + message.length);
    out[0] = flags;
    out.writeUInt32BE(message.length, 1);
    out.set(message, 5);
    return out;
  }

  it('messages arrive whole, however they are cut into frames', async () => {
    const seen: Seen[] = [];
    const { stream } = open(await start(seen));
    const messages = [
      Buffer.alloc(0),
      Buffer.from('a'),
      Buffer.alloc(100_000, 'b'),
      Buffer.from('c'),
    ];
    const all = Buffer.concat(messages.map((message) => framed(message)));
    for (const at of [0, 1, 3, 6, 9, 12, 40_000, 90_000]) {
      const next = [1, 3, 6, 9, 12, 40_000, 90_000, all.length].find((end) => end > at);
      stream.write(all.subarray(at, next));
      await new Promise((resolve) => {
        setTimeout(resolve, 2);
      });
    }
    await until('all messages', () => seen[0]?.messages.length === messages.length);
    expect(seen[0]?.messages).toEqual(messages);
  });

  it('large messages of many clients at once all arrive, in turn', async () => {
    const seen: Seen[] = [];
    const port = await start(seen);
    const message = framed(Buffer.alloc(150_000, 'x'));
    for (let i = 0; i < 100; i++) {
      const stream = client(port).request(grpc);
      stream.write(Buffer.concat([message, message]));
    }
    await until('all of all', () => {
      const all = seen.reduce((sum, { messages }) => sum + messages.length, 0);
      return all === 200;
    });
    expect(seen.filter(({ closed }) => closed)).toEqual([]);
  });

  const typed = (type: string) => ({ ...grpc, 'content-type': type });

  it.each([
    ['another method than POST', { ...grpc, ':method': 'GET' }, { ':status': 405 }],
    ['another content type', typed('application/json'), { ':status': 415 }],
    ['one that begins alike', typed('application/grpcx'), { ':status': 415 }],
    ['gRPC-Web', typed('application/grpc-web+proto'), { ':status': 415 }],
    ['a codec that there is not', typed('application/grpc+json'), { ':status': 415 }],
    ['a codec without a name', typed('application/grpc+'), { ':status': 415 }],
    [
      'a path that is not known',
      { ...grpc, ':path': '/a.B/D' },
      { ':status': 200, 'grpc-status': '12' },
    ],
    [
      'a malformed timeout',
      { ...grpc, 'grpc-timeout': '1x' },
      { ':status': 200, 'grpc-status': '13' },
    ],
    [
      'a deadline that has passed',
      { ...grpc, 'grpc-timeout': '0n' },
      { ':status': 200, 'grpc-status': '4' },
    ],
    [
      'one that passes meanwhile',
      { ...grpc, 'grpc-timeout': '999n' },
      { ':status': 200, 'grpc-status': '4' },
    ],
  ])('%s is refused as the specification says', async (_what, headers, expected) => {
    const seen: Seen[] = [];
    const { ended } = open(await start(seen), headers);
    expect(await ended()).toMatchObject(expected);
    expect(seen).toEqual([]);
  });

  it('a path without a slash reaches no method', async () => {
    const seen: Seen[] = [];
    const { ended } = open(await start(seen), { ...grpc, ':path': 'a.B/C' });
    expect((await ended())['grpc-status']).not.toBe('0');
    expect(seen).toEqual([]);
  });

  it.each([
    'application/grpc+proto',
    'Application/GRPC',
    'application/grpc;charset=utf-8',
    'application/grpc+PROTO ; x=y',
  ])('%s is gRPC too, and what requests may be compressed with is told', async (type) => {
    const { answer } = open(await start(), typed(type));
    await until('headers', () => answer[':status'] === 200);
    expect(answer).toMatchObject({
      'content-type': 'application/grpc',
      'grpc-accept-encoding': 'identity,deflate,gzip',
    });
  });

  it.each([
    ['of an encoding that is not supported', 'snappy', 1, '12', 'snappy is not supported'],
    ['that says compressed without an encoding', '', 1, '13', 'without a grpc-encoding'],
    ['that says compressed with none', 'identity', 1, '13', 'without a grpc-encoding'],
    ['with flags that do not exist', '', 2, '13', 'the compressed flag is 2, not 0 or 1'],
    ['with flags that do not exist in it', 'gzip', 3, '13', 'the compressed flag is 3'],
  ])('a message %s ends the call', async (_what, encoding, flags, code, why) => {
    const headers = encoding === '' ? {} : { 'grpc-encoding': encoding };
    const { stream, ended } = open(await start(), { ...grpc, ...headers });
    stream.write(framed(Buffer.from('x'), flags));
    expect(await ended()).toMatchObject({
      'grpc-status': code,
      'grpc-message': expect.stringContaining(why) as unknown,
    });
  });

  it('a message over the limit ends the call before it is received', async () => {
    const seen: Seen[] = [];
    const { stream, ended } = open(await start(seen, { maxMessageBytes: 100 }));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(1_000_000, 1);
    stream.write(head);
    expect(await ended()).toMatchObject({
      'grpc-status': '8',
      'grpc-message': 'a message of 1000000 bytes; at most 100',
    });
    expect(seen[0]?.messages).toEqual([]);
    expect(seen[0]?.closed).toBe(true);
  });

  it('a message that is cut by the end of the stream ends it with an error', async () => {
    const { stream, ended } = open(await start());
    stream.end(framed(Buffer.from('abc')).subarray(0, 6));
    expect((await ended())['grpc-status']).toBe('13');
  });

  it('a deadline that passes ends the call', async () => {
    const { ended } = open(await start(), { ...grpc, 'grpc-timeout': '50m' });
    expect((await ended())['grpc-status']).toBe('4');
  });

  it('a status goes behind all that was written, its message percent-encoded', async () => {
    const seen: Seen[] = [];
    const { stream, body, ended } = open(await start(seen));
    stream.write(framed(Buffer.from('hi')));
    await until('the message', () => seen[0]?.messages.length === 1);
    seen[0]?.call.write(framed(Buffer.from('yo')));
    seen[0]?.call.end({ code: 3, message: 'nö 100%' });
    expect(await ended()).toMatchObject({ 'grpc-status': '3', 'grpc-message': 'n%C3%B6 100%25' });
    expect(Buffer.concat(body)).toEqual(framed(Buffer.from('yo')));
  });

  it('a client that goes away closes its call, once', async () => {
    const seen: Seen[] = [];
    const { stream } = open(await start(seen));
    await until('the call', () => seen.length === 1);
    stream.close(8);
    await until('it is closed', () => seen[0]?.closed === true);
    expect(seen[0]?.call.write(framed(Buffer.from('late')))).toBe(true);
  });

  it('a client that does not read holds the writer back, and lets it go on', async () => {
    const seen: Seen[] = [];
    const { stream } = open(await start(seen));
    await until('the call', () => seen.length === 1);
    stream.pause();
    const big = framed(Buffer.alloc(1024 * 1024));
    let taken = 0;
    while (taken < 100 && seen[0]?.call.write(big) === true) taken++;
    expect(taken).toBeLessThan(100);
    expect(seen[0]?.drained).toBe(0);
    stream.resume();
    await until('it drains', () => (seen[0]?.drained ?? 0) > 0);
  });

  it.each([1, 20])(
    'a message of %d MiB for which there is room is written, or the writer is told when it was',
    async (mebibytes) => {
      const seen: Seen[] = [];
      const session = connectHttp2(`http://127.0.0.1:${await start(seen)}`, {
        settings: { initialWindowSize: 2 ** 30 },
      });
      session.on('connect', () => session.setLocalWindowSize(2 ** 30));
      session.on('error', () => undefined);
      sessions.push(session);
      const stream = session.request(grpc);
      stream.on('error', () => undefined);
      let bytes = 0;
      stream.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      await until('the call', () => seen.length === 1);
      const message = framed(Buffer.alloc(mebibytes * 1024 * 1024));
      for (let i = 1; i <= 5; i++) {
        const before = seen[0]?.drained ?? 0;
        const more = seen[0]?.call.write(message);
        if (more === false) expect(seen[0]?.drained).toBe(before);
        await until('it may go on', () => more === true || (seen[0]?.drained ?? 0) > before);
      }
      await until('all has come', () => bytes === 5 * message.length);
    },
  );

  it('a client that keeps no table of headers understands the answers', async () => {
    const seen: Seen[] = [];
    const session = connectHttp2(`http://127.0.0.1:${await start(seen)}`, {
      settings: { headerTableSize: 0 },
    });
    session.on('error', () => undefined);
    sessions.push(session);
    for (let i = 0; i < 2; i++) {
      const stream = session.request(grpc, { endStream: true });
      const trailers = new Promise((resolve, reject) => {
        stream.on('trailers', resolve);
        stream.on('error', reject);
      });
      stream.resume();
      await until('the call', () => seen[i]?.halfClosed === true);
      seen[i]?.call.end({ code: 0, message: '' });
      expect(await trailers).toMatchObject({ 'grpc-status': '0' });
    }
  });

  it('streams beyond the limit of a connection are refused', async () => {
    const seen: Seen[] = [];
    const port = await start(seen, { maxStreamsPerConnection: 3 });
    const session = client(port);
    const refused: number[] = [];
    for (let i = 0; i < 5; i++) {
      const stream = session.request(grpc);
      stream.on('error', () => undefined);
      stream.on('close', () => refused.push(stream.rstCode));
    }
    await until('three are open', () => seen.length === 3);
    expect(seen).toHaveLength(3);
  });

  it('headers over the limit are refused', async () => {
    const seen: Seen[] = [];
    const port = await start(seen, { maxHeaderBytes: 1_024 });
    const { ended } = open(port, { ...grpc, big: 'x'.repeat(8_192) });
    expect(await ended()).toMatchObject({ ':status': 431 });
    expect(seen).toEqual([]);
  });

  it('a connection whose peer is silent and does not answer a probe is closed', async () => {
    const port = await start([], { idleMs: 50, probeMs: 50 });
    const socket = connectTcp(port, '127.0.0.1');
    let closed = false;
    socket.on('close', () => {
      closed = true;
    });
    socket.on('error', () => undefined);
    socket.resume();
    // The preface and empty SETTINGS, and then nothing: not even an answer to PING.
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    await until('it is closed', () => closed);
    expect(server?.connections).toBe(0);
  });

  it('a connection that says nothing but answers its probes stays', async () => {
    const port = await start([], { idleMs: 20, probeMs: 60_000 });
    const session = client(port);
    let probes = 0;
    session.on('ping', () => probes++);
    // It is probed again only when it has answered.
    await until('it is probed', () => probes > 2);
    expect(session.destroyed).toBe(false);
    expect(server?.connections).toBeGreaterThan(0);
  });

  it('a rapid reset of many streams ends the connection', async () => {
    const port = await start();
    const session = client(port);
    let closed = false;
    session.on('close', () => {
      closed = true;
    });
    for (let i = 0; i < 2_000 && !session.destroyed; i++) {
      const stream = session.request(grpc);
      stream.on('error', () => undefined);
      stream.close(8);
      if (i % 50 === 0) {
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
    }
    await until('the server gives up', () => closed);
  });

  it('a request of HTTP/1 is told what this is, and does no harm', async () => {
    const port = await start();
    const answered = await fetch(`http://127.0.0.1:${port}/ready`).then(
      async (response) => [response.status, await response.text()],
      () => 'not in HTTP/1',
    );
    // Node's library answers with frames, as that of grpc-js, which is on it.
    const told = [505, expect.stringContaining('gRPC over HTTP/2')];
    expect(answered).toEqual(transport === 'net' ? told : 'not in HTTP/1');
    await until('its connection is closed', () => server?.connections === 0);
    const { answer } = open(port);
    await until('others are served', () => answer[':status'] === 200);
  });
});
