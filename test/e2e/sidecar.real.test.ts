import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startBackend, type Backend } from '../components/backends.ts';
import { makeAuthority } from '../components/certificates.ts';
import { ask, askHttp2, echoOf, type Answer } from '../components/clients.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { ConfigDir, type UserObject } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { spread } from './harness/load.ts';
import { istio, service } from './harness/objects.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import {
  configWarnings,
  protocols,
  rejections,
  startProxy,
  type Protocol,
} from './harness/proxy.ts';
import { until } from './harness/wait.ts';
import { xdsctl } from './harness/xdsctl.ts';

/** Where a pair of sidecars listens: traffic is not intercepted, clients and peers come by port. */
interface Ports {
  /** The caller's way out, by HTTP and by TCP. */
  readonly http: number;
  readonly tcp: number;
  /** The server's way in. */
  readonly inbound: number;
}

const ns = 'app';
const names = ['a', 'b', 'one', 'two', 'external', 'inner'] as const;
const backends = new Map<string, Backend>();
const ports = new Map<Protocol, Ports>();
const callers = new Map<Protocol, TestEnvoy>();
const servers = new Map<Protocol, TestEnvoy>();
let echo: Server;
let echoPort = 0;
let certificates = '';
let config: ConfigDir;
let plane: ControlPlane;

function portOf(name: string): number {
  return backends.get(name)?.port ?? 0;
}

function portsOf(protocol: Protocol): Ports {
  const found = ports.get(protocol);
  if (found === undefined) throw new Error(`no ports of ${protocol}`);
  return found;
}

/** `cert-chain.pem`, `key.pem` and `root-cert.pem` of a workload, as an agent would write them. */
async function writeCertificates(
  authority: ReturnType<typeof makeAuthority>,
  account: string,
): Promise<string> {
  const directory = await mkdtemp(join(certificates, `${account}-`));
  const name = `spiffe://cluster.local/ns/${ns}/sa/${account}`;
  const { certificate, key } = authority.issue({ commonName: account, names: [name] });
  await writeFile(join(directory, 'cert-chain.pem'), certificate);
  await writeFile(join(directory, 'key.pem'), key);
  await writeFile(join(directory, 'root-cert.pem'), authority.certificate);
  return directory;
}

function sidecarsOf(protocol: Protocol): readonly UserObject[] {
  const { http, tcp, inbound } = portsOf(protocol);
  const out = { captureMode: 'NONE', bind: '127.0.0.1' };
  return [
    istio('Sidecar', ns, `caller-${protocol}`, {
      workloadSelector: { labels: { app: `caller-${protocol}` } },
      outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' },
      egress: [
        { ...out, port: { number: tcp, protocol: 'TCP', name: 'tcp' }, hosts: ['./raw.test'] },
        { ...out, port: { number: http, protocol: 'HTTP', name: 'http' }, hosts: ['./*'] },
      ],
    }),
    istio('Sidecar', ns, `server-${protocol}`, {
      workloadSelector: { labels: { app: `server-${protocol}` } },
      ingress: [
        {
          port: { number: inbound, protocol: 'HTTP', name: 'http' },
          ...{ bind: '127.0.0.1', captureMode: 'NONE' },
          defaultEndpoint: `127.0.0.1:${portOf('inner')}`,
        },
      ],
      egress: [{ hosts: ['~/*'] }],
    }),
    ...serverService(protocol, inbound),
  ];
}

/** The server as its callers know it; the label says that it speaks mutual TLS. */
function serverService(protocol: Protocol, inbound: number): readonly UserObject[] {
  const name = `server-${protocol}`;
  const labels = { app: name, 'security.istio.io/tlsMode': 'istio' };
  return [
    {
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: ns } },
      spec: {
        selector: { app: name },
        ports: [{ name: 'http', port: portsOf(protocol).http, targetPort: inbound }],
      },
    },
    istio('WorkloadEntry', ns, name, {
      ...{ address: '127.0.0.1', labels, serviceAccount: 'server' },
      ports: { http: inbound },
    }),
  ];
}

/** An egress listener with a port shows services that have this port; so all have both. */
function outPorts(): readonly number[] {
  return protocols.map((protocol) => portsOf(protocol).http);
}

function entry(host: string, resolution: string, address: string, port: number): UserObject {
  const names = outPorts().map((number) => ({ number, name: `http-${number}`, protocol: 'HTTP' }));
  return istio('ServiceEntry', ns, host.replaceAll('.', '-'), {
    ...{ hosts: [host], resolution, location: 'MESH_EXTERNAL', ports: names },
    endpoints: [{ address, ports: Object.fromEntries(names.map(({ name }) => [name, port])) }],
  });
}

const simple = (name: string, at: number, namespace = ns): readonly UserObject[] =>
  service({ name, namespace, port: outPorts(), workloads: [{ port: at }] });

function visible(): readonly UserObject[] {
  const [one, two] = [{ port: portOf('one') }, { port: portOf('two') }];
  return [
    ...simple('a', portOf('a')),
    ...simple('b', portOf('b')),
    ...service({
      ...{ name: 'h', namespace: ns, port: outPorts(), clusterIP: 'None' },
      workloads: [one, two],
    }),
    {
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'alias', namespace: ns } },
      spec: {
        ...{ type: 'ExternalName', externalName: 'localhost' },
        ports: outPorts().map((port) => {
          return { name: `http-${port}`, port, targetPort: portOf('external') };
        }),
      },
    },
    entry('dns.test', 'DNS', 'localhost', portOf('external')),
    entry('static.test', 'STATIC', '127.0.0.1', portOf('external')),
    istio('ServiceEntry', ns, 'raw', {
      ...{ hosts: ['raw.test'], resolution: 'STATIC', location: 'MESH_EXTERNAL' },
      addresses: ['240.0.0.1'],
      ports: protocols.map((protocol) => {
        return { number: portsOf(protocol).tcp, name: `tcp-${protocol}`, protocol: 'TCP' };
      }),
      endpoints: [
        {
          address: '127.0.0.1',
          ports: Object.fromEntries(protocols.map((protocol) => [`tcp-${protocol}`, echoPort])),
        },
      ],
    }),
    istio('VirtualService', ns, 'b', {
      hosts: [`b.${ns}.svc.cluster.local`],
      http: [
        {
          match: [{ headers: { 'x-to': { exact: 'a' } } }],
          route: [{ destination: { host: 'a' } }],
        },
        { route: [{ destination: { host: 'b' } }] },
      ],
    }),
  ];
}

beforeAll(async () => {
  for (const name of names) backends.set(name, await startBackend({ name }));
  echo = createServer((socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => {
    echo.listen(0, '127.0.0.1', resolve);
  });
  const address = echo.address();
  echoPort = typeof address === 'object' && address !== null ? address.port : 0;
  for (const protocol of protocols) {
    const [http, tcp, inbound] = [await freePort(), await freePort(), await freePort()];
    ports.set(protocol, { http, tcp, inbound });
  }
  certificates = await mkdtemp(join(tmpdir(), 'watershed-certs-'));
  const authority = makeAuthority('mesh root');
  config = await ConfigDir.create();
  await config.write('app', ...visible());
  await config.write('sidecars', ...protocols.flatMap(sidecarsOf));
  await config.write('other', ...simple('hidden', portOf('a'), 'other'));
  plane = await ControlPlane.start({ configDir: config.path });
  for (const protocol of protocols) {
    for (const [role, started] of [
      ['caller', callers],
      ['server', servers],
    ] as const) {
      const proxy = await startProxy({
        ...{ type: 'sidecar', protocol, xds: plane.xds },
        workload: `${role}-${protocol}.${ns}`,
        labels: { app: `${role}-${protocol}` },
        metadata: { INTERCEPTION_MODE: 'NONE' },
        certDir: await writeCertificates(authority, role),
      });
      started.set(protocol, proxy);
    }
  }
});

afterAll(async () => {
  for (const proxy of [...callers.values(), ...servers.values()]) await proxy.stop();
  await plane?.delete();
  await config?.delete();
  await rm(certificates, { recursive: true, force: true });
  for (const backend of backends.values()) await backend.stop();
  echo?.close();
});

test('the control plane has no diagnostic about what it was given', async () => {
  expect(await plane.json('/debug/diagnosticz')).toEqual([]);
});

describe.each(protocols)('a sidecar over %s', (protocol) => {
  const call = (authority: string, headers: Record<string, string> = {}): Promise<Answer> =>
    ask({ port: portsOf(protocol).http, authority, headers });

  test.each([
    ['its short name', 'a', 'a'],
    ['its name with the namespace', `a.${ns}`, 'a'],
    ['its full name', `a.${ns}.svc.cluster.local`, 'a'],
    ['its name with a port', `a.${ns}.svc.cluster.local:PORT`, 'a'],
    ["a ServiceEntry's host, found by DNS", 'dns.test', 'external'],
    ["a ServiceEntry's host with addresses", 'static.test', 'external'],
    ['an ExternalName Service', 'alias', 'external'],
  ])('calls a service by %s', async (_title, host, name) => {
    const authority = host.replace('PORT', String(portsOf(protocol).http));
    expect(echoOf(await call(authority)).name).toBe(name);
  });

  test('spreads calls of a headless Service over its workloads', async () => {
    const by = await spread(50, { port: portsOf(protocol).http, authority: 'h' });
    expect([...by.keys()].sort()).toEqual(['one', 'two']);
  });

  test('follows the routes of the mesh', async () => {
    expect(echoOf(await call('b')).name).toBe('b');
    expect(echoOf(await call('b', { 'x-to': 'a' })).name).toBe('a');
  });

  test('takes HTTP/2 as well', async () => {
    const { http } = portsOf(protocol);
    const answer = await askHttp2({ port: http, authority: `a.${ns}`, path: '/two' });
    expect(echoOf(answer)).toMatchObject({ name: 'a', path: '/two' });
  });

  test('carries TCP', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = createConnection(portsOf(protocol).tcp, '127.0.0.1', () => socket.write('hi'));
      socket.once('error', reject).once('data', (data) => {
        socket.destroy();
        resolve(data.toString());
      });
    });
    expect(answer).toBe('hi');
  });

  test('sends nothing to hosts that are not in the registry, where that is the policy', async () => {
    expect(await call('unknown.test')).toMatchObject({ status: 502 });
  });

  test('lets in what comes to its ingress port', async () => {
    const answer = await ask({ port: portsOf(protocol).inbound, authority: 'anything' });
    expect(echoOf(answer)).toMatchObject({ name: 'inner' });
    expect(echoOf(answer).headers).not.toHaveProperty('x-forwarded-client-cert');
  });

  test('speaks mutual TLS with a peer, each by the certificate of its files', async () => {
    const answer = echoOf(await call(`server-${protocol}`));
    expect(answer.name).toBe('inner');
    const peer = answer.headers['x-forwarded-client-cert'] ?? '';
    expect(peer).toContain(`By=spiffe://cluster.local/ns/${ns}/sa/server`);
    expect(peer).toContain(`URI=spiffe://cluster.local/ns/${ns}/sa/caller`);
    const stats = await callers
      .get(protocol)
      ?.envoy.admin.stats(`server-${protocol}.*ssl.handshake`);
    expect([...(stats?.values() ?? [])].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
  });

  test('has nothing of what its Sidecar does not show', async () => {
    const dump = JSON.stringify(await callers.get(protocol)?.envoy.admin.configDump());
    expect(dump).toContain(`outbound|${portsOf(protocol).http}||a.app.svc.cluster.local`);
    expect(dump).not.toContain('hidden');
    expect(dump).not.toContain('.other.');
  });

  test('is in sync, says the control plane', async () => {
    const status = await xdsctl('proxy-status', '--monitoringAddr', plane.monitoring);
    for (const role of ['caller', 'server']) {
      const line = status.split('\n').find((one) => one.startsWith(`${role}-${protocol}.${ns}`));
      expect(line).toMatch(/SYNCED \(\w+\) +SYNCED/u);
      expect(line).not.toMatch(/STALE|ERROR/u);
    }
  });

  test('nothing was refused, and nothing that was sent is deprecated', async () => {
    for (const started of [callers, servers]) {
      const proxy = started.get(protocol);
      if (proxy === undefined) throw new Error('no proxy');
      expect(await rejections(proxy)).toBe(0);
      expect(await configWarnings(proxy)).toEqual([]);
    }
  });
});

test.each(protocols)('intercepted traffic over %s: all listeners are taken', async (protocol) => {
  const proxy = await startProxy({
    ...{ type: 'sidecar', protocol, xds: plane.xds, workload: `plain-${protocol}.${ns}` },
    labels: { app: 'a' },
  });
  try {
    const listeners = [...(await proxy.envoy.admin.listeners()).keys()];
    expect(listeners).toContain('virtualOutbound');
    expect(listeners).toContain('virtualInbound');
    expect(await rejections(proxy)).toBe(0);
    expect(await configWarnings(proxy)).toEqual([]);
  } finally {
    await proxy.stop();
  }
});

test('what changes outside of what a Sidecar shows sends it no byte', async () => {
  const sent = async (): Promise<number> =>
    (await plane.metrics()).sum('watershed_pushed_bytes_total');
  const before = await sent();
  const events = (await plane.metrics()).sum('watershed_events_total');
  await config.write(
    'other',
    ...simple('hidden', portOf('b'), 'other'),
    ...simple('new', portOf('b'), 'other'),
    istio('DestinationRule', 'other', 'hidden', {
      host: 'hidden',
      trafficPolicy: { loadBalancer: { simple: 'RANDOM' } },
    }),
    istio('VirtualService', 'other', 'hidden', {
      hosts: ['hidden.other.svc.cluster.local'],
      http: [{ timeout: '1s', route: [{ destination: { host: 'hidden' } }] }],
    }),
  );
  await until('the changes are on the log', async () => {
    return (await plane.metrics()).sum('watershed_events_total') >= events + 5;
  });
  await sleep(1_000);
  expect((await sent()) - before).toBe(0);
});
