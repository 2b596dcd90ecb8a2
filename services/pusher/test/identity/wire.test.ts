import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials, Metadata, type StatusObject } from '@grpc/grpc-js';
import {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeAuthority, type Certificate } from '../../../../test/components/certificates.ts';
import { Authenticator } from '../../src/identity/authenticator.ts';
import type { TlsOptions, TlsSource } from '../../src/server/port.ts';
import { methodsOf } from '../../src/server/services.ts';
import { ServingState } from '../../src/serving.ts';
import { transports } from '../../src/server/transports.ts';
import { CDS } from '../session/support.ts';
import { deltaAds } from '../support/client.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, until, type Running } from '../support/world.ts';

const authority = makeAuthority('test roots');
const server = authority.issue({ commonName: 'server', names: ['localhost', '127.0.0.1'] });
const web = certificateOf('shop', 'web');
const webId = 'sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local';

function certificateOf(namespace: string, account: string, untilDays = 1): Certificate {
  const names = [`spiffe://cluster.local/ns/${namespace}/sa/${account}`];
  return authority.issue({ commonName: account, names, untilDays });
}

const identity = {
  trustDomains: ['cluster.local'],
  policy: {
    gatewayAccounts: new Set<string>(),
    nodeAccounts: new Set<string>(),
    operatorNamespaces: new Set(['istio-system']),
  },
  plaintextNeedsToken: false,
};

function fixed(current: TlsOptions): TlsSource {
  return { current, watch: () => undefined, stop: () => undefined };
}

let running: Running;
const open: Client[] = [];

beforeEach(async () => {
  running = await run({
    identity,
    tls: {
      address: { host: '127.0.0.1', port: 0 },
      source: fixed({
        key: server.key,
        cert: server.certificate,
        clientCa: authority.certificate,
      }),
    },
  });
  const scope = scopeOfNode();
  await running.translator.publish({ [CDS]: { a: '1' } }, { [scope.id]: scope.scopeClass });
});

afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await running.stop();
});

/** Paths that may answer whoever connects, and those that tell a proxy nothing but schemas. */
const disclosesNothing = /^\/grpc\.(?:health|reflection)\./u;

/** Every method of the table; those of a stream or of one message alike. */
function paths(): readonly string[] {
  const authenticator = new Authenticator(identity);
  const { hub } = running.pusher;
  const options = { hub, serving: new ServingState(), authenticator, onRefused: () => undefined };
  return methodsOf(options)
    .map(({ path }) => path)
    .filter((path) => !disclosesNothing.test(path));
}

/** A request of the method that names a node; bodies of others have it in the same field. */
function request(path: string, id: string, metadata = {}): Buffer {
  const typeUrl = path.includes('.AggregatedDiscoveryService/') ? CDS : '';
  const message = { node: { id, metadata }, typeUrl };
  const bytes = /\/Delta\w+$/u.test(path)
    ? DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(message))
    : DiscoveryRequest.encode(DiscoveryRequest.fromPartial(message));
  return Buffer.from(bytes.finish());
}

interface Call {
  readonly send: (message: Buffer) => void;
  readonly responses: Buffer[];
  readonly ended: Promise<StatusObject>;
  readonly cancel: () => void;
}

function call(path: string, certificate?: Certificate, authorization?: string): Call {
  const port = Number(running.pusher.tlsAddress?.split(':').at(-1));
  const key = certificate === undefined ? null : Buffer.from(certificate.key);
  const chain = certificate === undefined ? null : Buffer.from(certificate.certificate);
  const roots = Buffer.from(authority.certificate);
  const client = new Client(`127.0.0.1:${port}`, credentials.createSsl(roots, key, chain), {
    'grpc.use_local_subchannel_pool': 1,
  });
  open.push(client);
  const metadata = new Metadata();
  if (authorization !== undefined) metadata.set('authorization', authorization);
  const same = (bytes: Buffer): Buffer => bytes;
  const stream = client.makeBidiStreamRequest(path, same, same, metadata);
  const responses: Buffer[] = [];
  stream.on('data', (response: Buffer) => responses.push(response));
  stream.on('error', () => undefined);
  const ended = new Promise<StatusObject>((resolve) => {
    stream.on('status', resolve);
  });
  const send = (message: Buffer): void => void stream.write(message);
  return { send, responses, ended, cancel: () => stream.cancel() };
}

describe('every method of the table', () => {
  it('refuses a client without a certificate or a token', async () => {
    for (const path of paths()) {
      const { ended, send } = call(path);
      send(request(path, webId));
      expect([path, (await ended).code]).toEqual([path, 16]);
    }
  });

  it('refuses a node of another namespace, or of another account', async () => {
    for (const path of paths()) {
      for (const certificate of [certificateOf('bank', 'web'), certificateOf('shop', 'other')]) {
        const { ended, send, responses } = call(path, certificate);
        send(request(path, webId, { SERVICE_ACCOUNT: 'web' }));
        const { code, details } = await ended;
        expect([path, code, responses]).toEqual([path, 7, []]);
        expect(details).not.toBe('');
      }
    }
    const text = await running.metrics.text();
    expect(text).toMatch(/watershed_xds_refusals_total\{reason="denied"\} \d\d/u);
    expect(running.logs.join('')).toContain('a client was refused');
  });

  it('rule 2: refuses a later message of a stream that names another node', async () => {
    for (const path of paths().filter((one) => /\/(?:Stream|Delta)\w+$/u.test(one))) {
      if (path.includes('ClientStatus')) continue;
      const own = request(path, webId);
      const bank = call(path, web);
      bank.send(own);
      bank.send(request(path, 'sidecar~10.0.0.9~b.bank~bank.svc.cluster.local'));
      expect([path, (await bank.ended).code]).toEqual([path, 7]);
      const neighbour = call(path, web);
      neighbour.send(own);
      neighbour.send(request(path, 'sidecar~10.0.0.2~web-2.shop~shop.svc.cluster.local'));
      expect([path, (await neighbour.ended).code]).toEqual([path, 3]);
    }
  });

  it('gets nodes from the one place that checks them', () => {
    const src = join(import.meta.dirname, '../../src');
    const files = readdirSync(src, { recursive: true, encoding: 'utf8' });
    const users = files.filter(
      (file) =>
        file.endsWith('.ts') && readFileSync(join(src, file), 'utf8').includes('parseNode('),
    );
    expect(users.sort()).toEqual(['identity/caller.ts', 'node-scope.ts']);
  });
});

it('serves the node that the certificate is of', async () => {
  const { responses, send } = call(deltaAds, web);
  send(request(deltaAds, webId, { SERVICE_ACCOUNT: 'web' }));
  await until('the response', () => responses.length === 1);
});

it('is at the listener that a pusher tells others of: plaintext is on the loopback', () => {
  const { pages, tlsAddress } = running.pusher;
  const page = pages.find(({ path }) => path === '/debug/placement');
  const ask = { query: new URLSearchParams() } as Parameters<NonNullable<typeof page>['handle']>[0];
  expect(page?.handle(ask)).toMatchObject({ self: { address: tlsAddress } });
});

it('says why a certificate is not taken', async () => {
  const stranger = makeAuthority('strangers').issue({
    commonName: 'web',
    names: ['spiffe://cluster.local/ns/shop/sa/web'],
  });
  const reasons: [Certificate, RegExp][] = [
    [certificateOf('shop', 'web', -0.5), /CERT_HAS_EXPIRED/u],
    [stranger, /UNABLE_TO_VERIFY/u],
    [authority.issue({ commonName: 'x', names: ['spiffe://old/ns/a/sa/b'] }), /no spiffe:/u],
    [authority.issue({ commonName: 'x', names: ['web.shop'] }), /certificate or a bearer token/u],
  ];
  for (const [certificate, reason] of reasons) {
    const { send, ended } = call(deltaAds, certificate);
    send(request(deltaAds, webId));
    const { code, details } = await ended;
    expect([code, details]).toEqual([16, expect.stringMatching(reason)]);
  }
});

it('takes no token where no issuer is configured', async () => {
  const { ended } = call(deltaAds, undefined, 'Bearer abc');
  expect(await ended).toMatchObject({ code: 16, details: 'no issuer of tokens is configured' });
});

describe.each(transports)('a token over %s', (transport) => {
  const verified: (() => void)[] = [];

  beforeEach(async () => {
    await running.stop();
    running = await run({
      identity: {
        ...identity,
        // When the test says so.
        verifyToken: (token) =>
          new Promise((resolve, reject) => {
            verified.push(() => {
              if (token !== 'good') reject(new Error('it is bad'));
              else resolve({ namespace: 'shop', serviceAccount: 'web', pod: 'web-1' });
            });
          }),
      },
      transport,
      tls: {
        address: { host: '127.0.0.1', port: 0 },
        source: fixed({ key: server.key, cert: server.certificate }),
      },
    });
    const scope = scopeOfNode();
    await running.translator.publish({ [CDS]: { a: '1' } }, { [scope.id]: scope.scopeClass });
  });

  async function settle(): Promise<void> {
    await until('a token is asked about', () => verified.length > 0);
    for (const done of verified.splice(0)) done();
  }

  it('is verified before anything is heard of its client, and nothing is lost by that', async () => {
    const { responses, send } = call(deltaAds, undefined, 'Bearer good');
    send(request(deltaAds, webId));
    await until('a token is asked about', () => verified.length > 0);
    expect(running.pusher.hub.streams.size).toBe(0);
    await settle();
    await until('the response', () => responses.length === 1);
  });

  it('that is bad, or of another Pod, is refused', async () => {
    const bad = call(deltaAds, undefined, 'Bearer bad');
    bad.send(request(deltaAds, webId));
    await settle();
    expect(await bad.ended).toMatchObject({
      code: 16,
      details: 'the token is not taken: it is bad',
    });
    const other = call(deltaAds, undefined, 'Bearer good');
    other.send(request(deltaAds, 'sidecar~10.0.0.2~web-2.shop~shop.svc.cluster.local'));
    await settle();
    expect(await other.ended).toMatchObject({ code: 7 });
    // TLS without anything is not this machine's plaintext.
    for (const path of paths()) expect((await call(path).ended).code).toBe(16);
    const basic = call(deltaAds, undefined, 'Basic eDp5');
    expect(await basic.ended).toMatchObject({ code: 16 });
  });

  it('of a client that is gone when it is verified leaves nothing behind', async () => {
    const { send, cancel } = call(deltaAds, undefined, 'Bearer good');
    send(request(deltaAds, webId));
    await until('a token is asked about', () => verified.length > 0);
    cancel();
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
    await settle();
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
    expect(running.pusher.hub.streams.size).toBe(0);
  });
});
