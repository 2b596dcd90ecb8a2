/**
 * The mesh benchmark: services x endpoints, simulated sidecars that see all of them, one change at
 * a time.
 *
 * node bench/src/mesh/main.ts [--services 1000] [--endpoints 10] [--proxies 1000] [--scopes 10]
 * [--runs 1] [--rounds 3] [--only reconnect] [--json]
 * [--node-options='--cpu-prof --cpu-prof-dir=/tmp/prof']
 *
 * Prints a row per event: CPU seconds of the server (from /proc), bytes and messages that clients
 * got, pieces encoded, and the time from the change until each client had ACKed its last message;
 * at the end the medians. A run is a new server, and a round each of the events once. Clients are a
 * process of their own on the same cores.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Pool } from './clients.ts';
import { type Expected, Meter, type Row } from './measure.ts';
import { MeshFiles } from './mesh.ts';
import type { ConnectCommand } from './pool.ts';
import { Server } from './server.ts';
import { line, medians } from './table.ts';

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '1000' },
    endpoints: { type: 'string', default: '10' },
    proxies: { type: 'string', default: '1000' },
    scopes: { type: 'string', default: '10' },
    runs: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    'node-options': { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
  },
});
const size = {
  services: Number(values.services),
  endpoints: Number(values.endpoints),
  namespaces: 10,
};
const proxies = Number(values.proxies);
const scopes = Number(values.scopes);
/** Clusters, endpoints, listeners, routes. */
const typesOfProxy = 4;
/** How long a server with nothing to do is watched. */
const nothingMs = 10_000;

function clients(mesh: MeshFiles): ConnectCommand['clients'] {
  return Array.from({ length: proxies }, (_, i) => {
    const group = i % scopes;
    const namespace = mesh.namespaceOf(group);
    const ip = `12.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    return {
      nodeId: `sidecar~${ip}~pod-${i}.${namespace}~${namespace}.svc.cluster.local`,
      namespace,
      labels: { app: `svc-${group}` },
    };
  });
}

async function run(dir: string, rows: Row[]): Promise<void> {
  const mesh = new MeshFiles(join(dir, 'config'), size);
  await mesh.writeAll([7]);
  const nodeOptions = values['node-options'].split(' ').filter((option) => option !== '');
  const server = await Server.start(join(dir, 'config'), join(dir, 'data'), nodeOptions);
  const pool = new Pool();
  const meter = new Meter(server, pool);
  try {
    const started = `${server.cpuSeconds().toFixed(2)} CPU s, ${server.residentMb().toFixed(0)} MB`;
    process.stdout.write(`ready: ${started}; load ${loadavg()[0]?.toFixed(1)}\n`);
    show(rows, await meter.nothing(nothingMs));
    const { grpcPort: port } = server;
    const connect = { do: 'connect', host: '127.0.0.1', port, clients: clients(mesh) } as const;
    const all = { touched: proxies, opened: proxies };
    show(rows, await meter.event('cold connect', () => pool.send(connect), all));
    for (let round = 1; round <= Number(values.rounds); round++) {
      show(rows, await meter.nothing(nothingMs));
      await events(mesh, round, async (event, change) => {
        if (!event.includes(values.only)) return;
        show(rows, await meter.event(event, change, { touched: proxies }));
      });
      if (!'reconnect'.includes(values.only)) continue;
      await pool.send({ do: 'cut' });
      await sleep(1_000);
      const back: Expected = { opened: proxies, resumed: typesOfProxy * proxies };
      const reconnect = (): Promise<unknown> => pool.send({ do: 'reconnect' });
      show(rows, await meter.event('reconnect, nothing changed', reconnect, back));
    }
  } finally {
    pool.stop();
    await server.stop();
  }
}

async function events(
  mesh: MeshFiles,
  round: number,
  event: (name: string, change: () => Promise<unknown>) => Promise<void>,
): Promise<void> {
  const requests = 1_000 + round;
  await event('one endpoint', () => mesh.writeEndpoints(7, round));
  await event('one route', () => mesh.writeRoute(3, `v${round}`));
  await event("one host's DestinationRule", () =>
    mesh.writePolicy('one', mesh.namespaceOf(5), 'svc-5', requests),
  );
  await event('wildcard DestinationRule', () =>
    mesh.writePolicy('all', 'istio-system', '*.local', requests),
  );
  await event('mesh-wide setting', () => mesh.writeMesh(`/dev/stdout${round % 2 ? '' : '2'}`));
}

function show(rows: Row[], row: Row): void {
  rows.push(row);
  process.stdout.write(line(row));
}

const rows: Row[] = [];
for (let at = 0; at < Number(values.runs); at++) {
  const dir = await mkdtemp(join(tmpdir(), 'watershed-bench-'));
  try {
    await run(dir, rows);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
process.stdout.write(`\n${medians(rows)}`);
if (values.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
