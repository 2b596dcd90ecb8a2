import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type PeerCertificate, type TLSSocket } from 'node:tls';
import { systemTime } from '@watershed/runtime/clock.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeAuthority, type Certificate } from '../../../../test/components/certificates.ts';
import type { Method, Peer, RpcServer } from '../../src/server/port.ts';
import { TlsFiles } from '../../src/server/tls-files.ts';
import { createRpcServer } from '../../src/server/transports.ts';
import { loggerInto, until } from '../support/world.ts';

describe.each(['http2', 'net'] as const)('TLS by %s', (transport) => {
  const authority = makeAuthority('roots');
  const roots = authority.certificate;
  let dir: string;
  let files: TlsFiles;
  let server: RpcServer;
  let port: number;
  let logs: string[];
  const open: { destroy(): void }[] = [];

  function issue(commonName: string): Certificate {
    return authority.issue({ commonName, names: ['localhost'] });
  }

  /** As Kubernetes mounts a Secret: `..data` is a link that is renamed over the one before. */
  function mount(name: string, { certificate, key }: Certificate, ca = roots): void {
    mkdirSync(join(dir, name));
    writeFileSync(join(dir, name, 'tls.crt'), certificate);
    writeFileSync(join(dir, name, 'tls.key'), key);
    writeFileSync(join(dir, name, 'ca.crt'), ca);
    symlinkSync(name, join(dir, '..new'));
    renameSync(join(dir, '..new'), join(dir, '..data'));
  }

  const echo: Method = {
    path: '/a.B/C',
    open: (call) => ({
      message: (bytes) =>
        call.write(Buffer.concat([Buffer.from([0, 0, 0, 0, bytes.length]), bytes])),
      halfClosed: () => call.end({ code: 0, message: '' }),
      drain: () => undefined,
      closed: () => undefined,
    }),
  };

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'tls-'));
    logs = [];
    mount('one', issue('first'));
    for (const file of ['tls.crt', 'tls.key', 'ca.crt']) {
      symlinkSync(join('..data', file), join(dir, file));
    }
    files = await TlsFiles.open({
      certFile: join(dir, 'tls.crt'),
      keyFile: join(dir, 'tls.key'),
      caFile: join(dir, 'ca.crt'),
      timers: systemTime,
      logger: loggerInto(logs),
      everyMs: 10,
    });
    server = createRpcServer(transport, {
      methods: [echo],
      time: systemTime,
      logger: loggerInto(logs),
      tls: files.current,
    });
    files.watch((now) => server.setTls(now));
    port = await server.listen('127.0.0.1', 0);
  });

  afterEach(async () => {
    for (const one of open.splice(0)) one.destroy();
    files.stop();
    await server.stop(AbortSignal.timeout(500));
    rmSync(dir, { recursive: true, force: true });
  });

  /** What a client is shown. */
  async function shown(more: object = {}): Promise<TLSSocket & { peer: PeerCertificate }> {
    const options = { port, host: '127.0.0.1', servername: 'localhost', ca: roots };
    const socket = connect({ ...options, ALPNProtocols: ['h2'], ...more });
    open.push(socket);
    await new Promise((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    });
    return Object.assign(socket, { peer: socket.getPeerCertificate() });
  }

  /** Another server, which only hears who calls it. */
  async function serveWho() {
    const peers: Peer[] = [];
    const method: Method = {
      path: '/who',
      open: (call) => {
        peers.push(call.peer);
        call.end({ code: 0, message: '' });
        return { message: () => {}, halfClosed: () => {}, drain: () => {}, closed: () => {} };
      },
    };
    const who = createRpcServer(transport, {
      methods: [method],
      time: systemTime,
      logger: loggerInto(logs),
      tls: files.current,
    });
    return { who, at: await who.listen('127.0.0.1', 0), peers };
  }

  async function nameShown(): Promise<unknown> {
    const { peer } = await shown();
    return peer.subject.CN;
  }

  it('speaks TLS 1.2 and 1.3 and HTTP/2, and nothing older', async () => {
    const newest = await shown();
    expect([newest.getProtocol(), newest.alpnProtocol]).toEqual(['TLSv1.3', 'h2']);
    const older = await shown({ maxVersion: 'TLSv1.2' });
    expect([older.getProtocol(), older.alpnProtocol]).toEqual(['TLSv1.2', 'h2']);
    const ciphers = 'DEFAULT@SECLEVEL=0';
    await expect(shown({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers })).rejects.toThrow();
  });

  it('a server that stops waits for no handshake', async () => {
    const silent = connectTcp(port, '127.0.0.1');
    open.push(silent);
    let closed = false;
    silent.on('close', () => {
      closed = true;
    });
    silent.on('error', () => undefined);
    await new Promise((resolve) => {
      silent.once('connect', resolve);
    });
    // They are accepted in order.
    const whole = await shown();
    whole.destroy();
    const bound = AbortSignal.timeout(5_000);
    await server.stop(bound);
    expect(bound.aborted).toBe(false);
    await until('it is closed', () => closed);
  });

  it('new certificates are shown to new connections, and open streams go on', async () => {
    const session: ClientHttp2Session = connectHttp2(`https://localhost:${port}`, { ca: roots });
    open.push(session);
    const headers = { ':method': 'POST', ':path': '/a.B/C', 'content-type': 'application/grpc' };
    const stream = session.request(headers);
    const received: number[] = [];
    stream.on('data', (chunk: Buffer) => received.push(...chunk.subarray(5)));
    stream.on('error', () => undefined);
    stream.write(Buffer.from([0, 0, 0, 0, 1, 7]));
    await until('the first answer', () => received.length === 1);
    expect(await nameShown()).toBe('first');
    mount('two', issue('second'));
    await until('the new certificate', async () => (await nameShown()) === 'second');
    stream.write(Buffer.from([0, 0, 0, 0, 1, 8]));
    await until('the second answer', () => received.length === 2);
    expect(received).toEqual([7, 8]);
    expect(session.destroyed).toBe(false);
  });

  it('a rotation that is half done, or wrong, leaves the last good one, and is told once', async () => {
    const { certificate } = issue('second');
    const { key } = issue('third');
    mount('two', { certificate, key });
    const warned = (): number => logs.filter((line) => line.includes('cannot be used')).length;
    await until('the warning', () => warned() > 0);
    expect(await nameShown()).toBe('first');
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
    expect(warned()).toBe(1);
    expect(logs.join('')).not.toContain('PRIVATE KEY');
    mount('three', issue('fourth'));
    await until('the good one', async () => (await nameShown()) === 'fourth');
  });

  it("other roots of clients' certificates hold for new connections", async () => {
    const others = makeAuthority('others');
    const { who, at, peers } = await serveWho();
    const { certificate: cert, key } = others.issue({ commonName: 'client', names: ['client'] });
    const ask = async (): Promise<boolean> => {
      const session = connectHttp2(`https://localhost:${at}`, { ca: roots, cert, key });
      const headers = { ':method': 'POST', ':path': '/who', 'content-type': 'application/grpc' };
      const stream = session.request(headers);
      stream.resume();
      await new Promise((resolve) => {
        stream.once('close', resolve);
      });
      session.destroy();
      return peers.at(-1)?.certificateProblem === '';
    };
    expect(await ask()).toBe(false);
    who.setTls({ ...files.current, clientCa: others.certificate });
    expect(await ask()).toBe(true);
    await who.stop(AbortSignal.timeout(500));
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'a session that is resumed (%s) is of the client whose certificate began it, until the roots change',
    async (version) => {
      const { who, at, peers } = await serveWho();
      const names = ['spiffe://cluster.local/ns/shop/sa/web'];
      const { certificate: cert, key } = authority.issue({ commonName: 'web', names });
      let ticket: Buffer | undefined;
      const ask = async (session?: Buffer): Promise<boolean> => {
        const own = session === undefined ? { cert, key } : { session };
        const socket = connect({
          ...{ port: at, host: '127.0.0.1', servername: 'localhost', ca: roots },
          ...{ ALPNProtocols: ['h2'], maxVersion: version, ...own },
        });
        socket.on('session', (given: Buffer) => {
          ticket = given;
        });
        const client = connectHttp2(`https://localhost:${at}`, { createConnection: () => socket });
        open.push(client);
        const headers = { ':method': 'POST', ':path': '/who', 'content-type': 'application/grpc' };
        const stream = client.request(headers);
        stream.resume();
        await new Promise((resolve) => {
          stream.once('close', resolve);
        });
        return socket.isSessionReused();
      };
      expect(await ask()).toBe(false);
      await until('the ticket', () => ticket !== undefined);
      // Without its certificate: only the session can say who it is.
      expect(await ask(ticket)).toBe(true);
      expect(peers.map(({ identities }) => identities)).toEqual([names, names]);
      who.setTls({ ...files.current, clientCa: makeAuthority('others').certificate });
      expect(await ask(ticket)).toBe(false);
      expect(peers.at(-1)?.identities).toEqual([]);
      await who.stop(AbortSignal.timeout(500));
    },
  );

  it('files that do not serve at the start are named', async () => {
    const bad = { certFile: '/nowhere/tls.crt', keyFile: join(dir, 'tls.key'), caFile: undefined };
    const opened = TlsFiles.open({ ...bad, timers: systemTime, logger: loggerInto([]) });
    await expect(opened).rejects.toThrow(/cannot serve TLS with \/nowhere\/tls\.crt/u);
  });
});
