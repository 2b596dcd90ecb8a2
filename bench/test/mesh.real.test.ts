/** The part of the benchmark that is the same on every machine, small: what is encoded and sent. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Pool } from '../src/mesh/clients.ts';
import { Meter, type Row } from '../src/mesh/measure.ts';
import { MeshFiles } from '../src/mesh/mesh.ts';
import { Server } from '../src/mesh/server.ts';

/** So many that a route table, and all clusters, are messages of over 300 KiB. */
const services = 700;
const proxies = 40;
/** Classes of proxies that see the same; what is encoded may depend on these. */
const scopes = 2;
/** Of one change, with room for each scope's own; far fewer than proxies. */
const fewEncodings = 10;

const dirs: string[] = [];
const pool = new Pool();
let server: Server;
let meter: Meter;
let mesh: MeshFiles;

beforeAll(async () => {
  const dir = await mkdtemp(join(tmpdir(), 'watershed-bench-'));
  dirs.push(dir);
  mesh = new MeshFiles(join(dir, 'config'), { services, endpoints: 3, namespaces: scopes });
  await mesh.writeAll([7]);
  server = await Server.start(join(dir, 'config'), join(dir, 'data'));
  meter = new Meter(server, pool, 500);
});

afterAll(async () => {
  pool.stop();
  await server.stop();
  for (const dir of dirs) await rm(dir, { recursive: true, force: true });
});

function clients() {
  return Array.from({ length: proxies }, (_, i) => {
    const namespace = mesh.namespaceOf(i % scopes);
    const nodeId = `sidecar~12.0.0.${i}~pod-${i}.${namespace}~${namespace}.svc.cluster.local`;
    return { nodeId, namespace, labels: { app: `svc-${i % scopes}` } };
  });
}

function change(event: string, write: () => Promise<void>): Promise<Row> {
  return meter.event(event, write, { touched: proxies });
}

/** Resources of each type that one proxy got. */
function perProxy({ byType }: Row): Record<string, number> {
  const counts = Object.entries(byType).map(([type, { resources }]) => [type, resources / proxies]);
  return Object.fromEntries(counts) as Record<string, number>;
}

describe('forty proxies that see seven hundred services', () => {
  it('are sent all of them when they connect, encoded once for each class of proxies', async () => {
    const connect = { do: 'connect', host: '127.0.0.1', clients: clients() } as const;
    const { grpcPort: port } = server;
    const expected = { touched: proxies, opened: proxies };
    const cold = await meter.event('cold', () => pool.send({ ...connect, port }), expected);
    expect(perProxy(cold)['ClusterLoadAssignment']).toBe(services);
    // Twice each of clusters and assignments, the rest by scope.
    expect(cold.encoded).toBeLessThan(6 * services);
  });

  it('get one assignment when one endpoint changes, encoded once', async () => {
    const row = await change('endpoint', () => mesh.writeEndpoints(7, 1));
    expect(perProxy(row)).toEqual({ ClusterLoadAssignment: 1 });
    expect(row.encoded).toBeLessThanOrEqual(fewEncodings);
  });

  it('get route tables and nothing else when a route changes', async () => {
    await change('route', () => mesh.writeRoute(3, 'first'));
    const row = await change('route', () => mesh.writeRoute(3, 'second'));
    expect(perProxy(row)).toEqual({ RouteConfiguration: 1 });
    // Longer than what a socket takes at once: its end must come too.
    expect((row.byType['RouteConfiguration']?.bytes ?? 0) / proxies).toBeGreaterThan(300 * 1024);
    expect(row.encoded).toBeLessThanOrEqual(fewEncodings);
  });

  it('get one cluster and its assignment when the policy of one host changes', async () => {
    const write = (requests: number) => () =>
      mesh.writePolicy('one', mesh.namespaceOf(5), 'svc-5', requests);
    await change('policy', write(1_001));
    const row = await change('policy', write(1_002));
    expect(perProxy(row)).toEqual({ Cluster: 1, ClusterLoadAssignment: 1 });
    expect(row.encoded).toBeLessThanOrEqual(fewEncodings);
  });

  it('get listeners and nothing else when an access log is set for the mesh', async () => {
    const row = await change('mesh', () => mesh.writeMesh('/dev/stdout'));
    expect(Object.keys(perProxy(row))).toEqual(['Listener']);
    expect(row.encoded).toBeLessThanOrEqual(fewEncodings);
  });

  it('get nothing when they come back and nothing has changed', async () => {
    await pool.send({ do: 'cut' });
    await sleep(500);
    const reconnect = () => pool.send({ do: 'reconnect' });
    const row = await meter.event('reconnect', reconnect, {
      opened: proxies,
      resumed: 4 * proxies,
    });
    expect(row).toMatchObject({ bytes: 0, encoded: 0, touched: 0, byType: {} });
  });
});
