/** What must cost nothing, counted by the process itself and on the wire. */
import { readFile, utimes } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AdsClient, cluster, endpoint, listener, route } from '../harness/ads.ts';
import { ConfigDir, type UserObject } from '../harness/config-dir.ts';
import { startPlane, type Plane, type PlaneKind } from '../harness/plane.ts';
import { istio, service } from '../harness/objects.ts';
import { nodeId, protocols, type Protocol } from '../harness/proxy.ts';
import { until } from '../harness/wait.ts';

const ns = 'app';
const port = 9080;
const clients = new Map<Protocol, AdsClient>();
let config: ConfigDir;
let plane: Plane;

interface Costs {
  readonly events: number;
  readonly generations: number;
  readonly pushes: number;
  readonly bytes: number;
}

const nothing: Costs = { events: 0, generations: 0, pushes: 0, bytes: 0 };

async function costs(): Promise<Costs> {
  const metrics = await plane.metrics();
  return {
    events: metrics.sum('watershed_events_total'),
    generations: metrics.sum('watershed_generations_total'),
    pushes: metrics.sum('pilot_xds_pushes'),
    bytes: metrics.sum('watershed_pushed_bytes_total'),
  };
}

/** What `act` cost, once the process has seen it and everything has become quiet. */
async function costOf(act: () => Promise<void>): Promise<Costs> {
  const before = await costs();
  const seen = (await plane.metrics()).sum('watershed_ingest_silences_total');
  await act();
  await until('the process has looked', async () => {
    return (await plane.metrics()).sum('watershed_ingest_silences_total') > seen;
  });
  await sleep(600);
  return minus(await costs(), before);
}

function minus(a: Costs, b: Costs): Costs {
  return {
    events: a.events - b.events,
    generations: a.generations - b.generations,
    pushes: a.pushes - b.pushes,
    bytes: a.bytes - b.bytes,
  };
}

const virtualService = istio('VirtualService', ns, 'a', {
  hosts: [`a.${ns}.svc.cluster.local`],
  http: [{ route: [{ destination: { host: `a.${ns}.svc.cluster.local` } }], timeout: '3s' }],
});

function serviceA(...ports: readonly number[]): readonly UserObject[] {
  return service({ name: 'a', namespace: ns, port, workloads: ports.map((at) => ({ port: at })) });
}

function newClient(protocol: Protocol, namespace = ns): AdsClient {
  return new AdsClient({
    ...{ port: plane.xds.port, protocol },
    nodeId: nodeId({ type: 'sidecar', workload: `${protocol}.${namespace}` }),
    metadata: { NAMESPACE: namespace, LABELS: { app: 'client' }, CLUSTER_ID: 'Kubernetes' },
  });
}

function client(protocol: Protocol): AdsClient {
  const found = clients.get(protocol);
  if (found === undefined) throw new Error(`no client of ${protocol}`);
  return found;
}

/** The same on either log, and on services apart. */
export function silenceSuite(kind: PlaneKind): void {
  beforeAll(async () => {
    config = await ConfigDir.create();
    await config.write('a', ...serviceA(1001, 1002));
    await config.write('route', virtualService);
    plane = await startPlane(kind, config.path);
    for (const protocol of protocols) {
      const one = newClient(protocol);
      clients.set(protocol, one);
      one.connect();
      // A scope that nobody has asked for before takes a moment, and longer where tiers are apart.
      await until('it has been served', () => one.names(route).length > 0);
      await one.settle();
    }
  });

  afterAll(async () => {
    for (const one of clients.values()) one.cut();
    await plane?.delete();
    await config?.delete();
  });

  test('both ways of xDS bring the same resources', () => {
    for (const type of [cluster, endpoint, listener, route]) {
      expect(client('sotw').names(type)).toEqual(client('delta').names(type));
      expect(client('delta').names(type)).not.toEqual([]);
      for (const name of client('delta').names(type)) {
        const [one, other] = protocols.map((protocol) => client(protocol).body(type, name));
        expect(Buffer.from(one ?? []).equals(Buffer.from(other ?? []))).toBe(true);
      }
    }
  });

  describe('no event, no generation, no push and no byte', () => {
    test('when files are looked at again', async () => {
      const now = new Date();
      expect(await costOf(() => utimes(join(config.path, 'a.yaml'), now, now))).toEqual(nothing);
    });

    test('when a file is written again with the same content', async () => {
      const text = await readFile(join(config.path, 'a.yaml'), 'utf8');
      expect(await costOf(() => config.writeText('a.yaml', text))).toEqual(nothing);
    });

    test('when a status changes, or metadata that nothing reads', async () => {
      const touched = {
        ...virtualService,
        metadata: {
          ...{ name: 'a', namespace: ns, resourceVersion: '17', generation: 4 },
          annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}' },
          labels: { team: 'shop' },
          managedFields: [{ manager: 'kubectl' }],
        },
        status: { conditions: [{ type: 'Reconciled', status: 'True' }] },
      };
      expect(await costOf(() => config.write('route', touched))).toEqual(nothing);
    });

    test('when the same is said in other words', async () => {
      const reworded = {
        kind: 'VirtualService',
        apiVersion: 'networking.istio.io/v1beta1',
        metadata: { namespace: ns, name: 'a' },
        spec: {
          gateways: ['mesh'],
          exportTo: ['*'],
          http: [
            {
              timeout: '3000ms',
              route: [{ weight: 100, destination: { host: `A.${ns}.svc.cluster.local` } }],
            },
          ],
          hosts: [`A.${ns}.svc.cluster.local`],
        },
      };
      const cost = await costOf(() => config.write('route', reworded));
      expect(cost).toEqual(nothing);
    });

    test('when objects move to another file', async () => {
      const cost = await costOf(() => config.rename('route', 'moved'));
      expect(cost).toEqual(nothing);
    });
  });

  describe('a client that comes back', () => {
    test('with delta xDS is sent no resource, and nothing is generated', async () => {
      const one = client('delta');
      const from = one.responses.length;
      const before = await costs();
      one.cut();
      one.connect();
      await one.settle(800);
      expect(one.bytes(undefined, from)).toBe(0);
      expect(minus(await costs(), before)).toEqual(nothing);
    });

    test('with state of the world is sent no cluster and no listener', async () => {
      const one = client('sotw');
      const from = one.responses.length;
      const { events, generations } = await costs();
      one.cut();
      one.connect();
      await until('it is answered', () => one.responses.length >= from + 2);
      await one.settle(800);
      expect(one.bytes(cluster, from) + one.bytes(listener, from)).toBe(0);
      expect(one.responses.slice(from).map(({ typeUrl }) => typeUrl)).toEqual([endpoint, route]);
      const after = await costs();
      expect([after.events, after.generations]).toEqual([events, generations]);
    });

    test('after the process was killed and started again finds the same', async () => {
      const froms = protocols.map((protocol) => client(protocol).responses.length);
      await plane.kill();
      await plane.start();
      for (const one of clients.values()) {
        one.cut();
        one.connect();
        await one.settle(800);
      }
      expect(client('delta').bytes(undefined, froms[1])).toBe(0);
      const sotw = client('sotw');
      expect(sotw.bytes(cluster, froms[0]) + sotw.bytes(listener, froms[0])).toBe(0);
      expect((await costs()).events).toBe(0);
    });

    test.each(protocols)(
      'over %s, cut off between a changed cluster and its endpoints, is sent the endpoints',
      async (protocol) => {
        let isCut = false;
        const one = new AdsClient({
          ...{ port: plane.xds.port, protocol },
          nodeId: nodeId({ type: 'sidecar', workload: `cut-${protocol}.${ns}` }),
          metadata: { NAMESPACE: ns, LABELS: { app: 'client' }, CLUSTER_ID: 'Kubernetes' },
          onResponse: ({ typeUrl }) => !isCut || typeUrl !== endpoint,
        });
        one.connect();
        await until('it has been served', () => one.names(route).length > 0);
        await one.settle();
        isCut = true;
        const from = one.responses.length;
        const connectTimeout = protocol === 'sotw' ? '2s' : '3s';
        await config.write(
          'rule',
          istio('DestinationRule', ns, 'a', {
            host: `a.${ns}.svc.cluster.local`,
            trafficPolicy: { connectionPool: { tcp: { connectTimeout } } },
          }),
        );
        await until('the endpoints are cut off', () =>
          one.responses.slice(from).some(({ typeUrl }) => typeUrl === endpoint),
        );
        isCut = false;
        const back = one.responses.length;
        one.connect();
        const sent = (type: string): readonly string[] =>
          one.responses
            .slice(back)
            .flatMap(({ typeUrl, names }) => (typeUrl === type ? names : []));
        // The cluster is held; Envoy warms it until its endpoints have come.
        const name = `outbound|${port}||a.${ns}.svc.cluster.local`;
        await until('it has the endpoints', () => sent(endpoint).includes(name));
        await one.settle(800);
        expect(sent(cluster)).toEqual([]);
        one.cut();
      },
    );
  });

  describe('a change costs what it must', () => {
    test('one endpoint: one event, one assignment, and nothing of any other type', async () => {
      const froms = protocols.map((protocol) => client(protocol).responses.length);
      const before = await costs();
      await config.write('a', ...serviceA(1001, 1002, 1003));
      for (const [at, one] of [...clients.values()].entries()) {
        await until('the endpoint arrives', () => one.responses.length > (froms[at] ?? 0));
        await one.settle();
        const types = one.responses.slice(froms[at]).map(({ typeUrl }) => typeUrl);
        expect(types).toEqual([endpoint]);
      }
      const { events, pushes } = minus(await costs(), before);
      expect({ events, pushes }).toEqual({ events: 1, pushes: 2 });
    });

    test('one route: one route table, and nothing of any other type', async () => {
      const froms = protocols.map((protocol) => client(protocol).responses.length);
      await config.write('moved', {
        ...virtualService,
        spec: {
          hosts: [`a.${ns}.svc.cluster.local`],
          http: [{ route: [{ destination: { host: 'a' } }], timeout: '4s' }],
        },
      });
      for (const [at, one] of [...clients.values()].entries()) {
        await until('the route arrives', () => one.responses.length > (froms[at] ?? 0));
        await one.settle();
        const types = one.responses.slice(froms[at]).map(({ typeUrl }) => typeUrl);
        expect(types).toEqual([route]);
      }
    });

    test('what another namespace does and does not export: no byte', async () => {
      const before = await costs();
      const froms = protocols.map((protocol) => client(protocol).responses.length);
      const [hidden, ...workloads] = service({
        ...{ name: 'hidden', namespace: 'other', port },
        workloads: [{ port: 2001 }],
      });
      const metadata = {
        ...{ name: 'hidden', namespace: 'other' },
        annotations: { 'networking.istio.io/exportTo': '.' },
      };
      await config.write('other', { ...hidden, metadata }, ...workloads);
      await until('its events are on the log', async () => (await costs()).events > before.events);
      await sleep(600);
      expect(minus(await costs(), before)).toMatchObject({ pushes: 0, bytes: 0 });
      for (const [at, one] of [...clients.values()].entries()) {
        expect(one.responses.length).toBe(froms[at]);
      }
    });
  });
}
