/**
 * The mesh benchmark: services x endpoints, simulated sidecars that see all of them, one change at
 * a time.
 *
 * node bench/src/mesh/main.ts [--services 1000] [--endpoints 10] [--proxies 1000] [--scopes 10]
 * [--rounds 3]
 *
 * Prints a row per event: CPU seconds of the server (from /proc), bytes and messages that clients
 * got, pieces encoded, and the time from the change until each client had ACKed its last message.
 * Clients are a process of their own on the same cores.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MeshFiles } from './mesh.ts';
import type { Command, Report } from './pool.ts';
import { Server } from './server.ts';

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '1000' },
    endpoints: { type: 'string', default: '10' },
    proxies: { type: 'string', default: '1000' },
    scopes: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
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
const rounds = Number(values.rounds);
/** Nothing came for so long: the event is over. */
const quietMs = 2_000;
/** How long to wait for the first message, where one is expected at all. */
const patienceMs = 20_000;
const limitMs = 180_000;

interface Row {
  readonly event: string;
  readonly cpu: number;
  readonly bytes: number;
  readonly types: string;
  readonly encoded: number;
  readonly p50: number;
  readonly p99: number;
  readonly touched: number;
  readonly rss: number;
}

class Pool {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(fileURLToPath(new URL('./pool.ts', import.meta.url)), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  }

  send(command: Command): Promise<Report> {
    return new Promise((resolve) => {
      this.#child.once('message', (report) => resolve(report as Report));
      this.#child.send(command);
    });
  }

  stop(): void {
    this.#child.disconnect();
  }
}

async function measure(
  event: string,
  server: Server,
  pool: Pool,
  change: () => Promise<unknown>,
  expected: number,
): Promise<Row> {
  await pool.send({ do: 'mark' });
  const [cpuBefore, encodedBefore] = [server.cpuSeconds(), await encodings(server)];
  const startedAt = Date.now();
  await change();
  let report = await pool.send({ do: 'report' });
  while (Date.now() - startedAt < limitMs) {
    await sleep(250);
    report = await pool.send({ do: 'report' });
    const waited = Date.now() - startedAt;
    if (report.touched < expected ? waited > patienceMs : waited > quietMs) {
      if (Date.now() - Math.max(startedAt, report.newestAt) > quietMs) break;
    }
  }
  const latencies = report.lastAt.map((at) => (at - startedAt) / 1000).sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
  const types = Object.entries(report.byType).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    event,
    cpu: server.cpuSeconds() - cpuBefore,
    bytes: types.reduce((sum, [, count]) => sum + count.bytes, 0),
    types: types
      .map(([type, { messages, resources, bytes }]) => `${type} ${messages}/${resources}/${bytes}`)
      .join(', '),
    encoded: (await encodings(server)) - encodedBefore,
    p50: at(0.5),
    p99: at(0.99),
    touched: report.touched,
    rss: server.residentMb(),
  };
}

function encodings(server: Server): Promise<number> {
  return server.counter('watershed_encodings_total');
}

function clients(mesh: MeshFiles): (Command & { do: 'connect' })['clients'] {
  return Array.from({ length: proxies }, (_, i) => {
    const group = i % scopes;
    const namespace = mesh.namespaceOf(group);
    const ip = `12.0.${i >> 8}.${i & 255}`;
    return {
      nodeId: `sidecar~${ip}~pod-${i}.${namespace}~${namespace}.svc.cluster.local`,
      namespace,
      labels: { app: `svc-${group}` },
    };
  });
}

async function run(dir: string): Promise<readonly Row[]> {
  const mesh = new MeshFiles(join(dir, 'config'), size);
  await mesh.writeAll([7]);
  const server = await Server.start(join(dir, 'config'), join(dir, 'data'));
  const pool = new Pool();
  const rows: Row[] = [];
  const event = async (
    name: string,
    change: () => Promise<unknown>,
    expected = proxies,
  ): Promise<void> => {
    const row = await measure(name, server, pool, change, expected);
    rows.push(row);
    print(row);
  };
  try {
    process.stdout.write(`ready: ${server.cpuSeconds()} CPU s, ${server.residentMb()} MB\n`);
    await event('cold connect', () =>
      pool.send({
        do: 'connect',
        host: '127.0.0.1',
        port: server.grpcPort,
        clients: clients(mesh),
      }),
    );
    for (let round = 1; round <= rounds; round++) {
      await event('one endpoint', () => mesh.writeEndpoints(7, round));
      await event('one route', () => mesh.writeRoute(3, `v${round}`));
      await event("one host's DestinationRule", () =>
        mesh.writePolicy('one', mesh.namespaceOf(5), 'svc-5', 1000 + round),
      );
      await event('wildcard DestinationRule', () =>
        mesh.writePolicy('all', 'istio-system', '*.local', 1000 + round),
      );
      await event('mesh-wide setting', () => mesh.writeMesh(`/dev/stdout${round % 2 ? '' : '2'}`));
      await pool.send({ do: 'cut' });
      await sleep(1_000);
      await event('reconnect, nothing changed', () => pool.send({ do: 'reconnect' }), 0);
    }
  } finally {
    pool.stop();
    await server.stop();
  }
  return rows;
}

function print(row: Row): void {
  const f = (n: number, digits: number): string => n.toFixed(digits);
  process.stdout.write(
    `${row.event.padEnd(28)} cpu ${f(row.cpu, 2)} s  ${f(row.bytes / 1e6, 2)} MB  ` +
      `encoded ${row.encoded}  p50 ${f(row.p50, 2)} p99 ${f(row.p99, 2)} s  ` +
      `clients ${row.touched}  rss ${f(row.rss, 0)} MB  [${row.types}]\n`,
  );
}

const dir = await mkdtemp(join(tmpdir(), 'watershed-bench-'));
try {
  const rows = await run(dir);
  if (values.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
} finally {
  await rm(dir, { recursive: true, force: true });
}
