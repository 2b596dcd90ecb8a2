/**
 * One change of one resource, to many streams of one connection each: CPU of the server per push
 * (with its ACK), memory per stream, encodings.
 *
 *     node bench/src/fanout/main.ts [--streams 4000] [--bytes 10240] [--rounds 7]
 *         [--transport http2|grpc-js]
 */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { ClientReport, ServerOrder, ServerReport, ServerSetup } from './messages.ts';

/** Streams that one client process holds. */
const perClient = 4_000;

const { values } = parseArgs({
  options: {
    streams: { type: 'string', default: '4000' },
    bytes: { type: 'string', default: '10240' },
    rounds: { type: 'string', default: '7' },
    transport: { type: 'string', default: 'http2' },
  },
});

class Server {
  readonly #child: ChildProcess;
  #waiting: ((report: ServerReport) => void) | undefined;

  constructor() {
    this.#child = start('server.ts', ['--expose-gc']);
    this.#child.on('message', (report: ServerReport) => this.#waiting?.(report));
  }

  ask(order: ServerOrder): Promise<ServerReport> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.#child.send(order);
    });
  }

  stop(): void {
    this.#child.disconnect();
  }
}

function start(file: string, execArgv: readonly string[]): ChildProcess {
  const path = fileURLToPath(new URL(file, import.meta.url));
  return fork(path, [], {
    execArgv: [...execArgv],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}

/** Client processes, and how many ACKs they have sent in all. */
class Clients {
  readonly #children: ChildProcess[] = [];
  readonly #acked = new Map<ChildProcess, number>();
  #changed: (() => void) | undefined;

  async open(port: number, streams: number): Promise<void> {
    for (let from = 0; from < streams; from += perClient) {
      const child = start('client.ts', []);
      this.#children.push(child);
      const count = Math.min(perClient, streams - from);
      await new Promise<void>((resolve) => {
        child.on('message', (report: ClientReport) => {
          if (report.kind === 'open') resolve();
          else this.#acked.set(child, report.count);
          this.#changed?.();
        });
        child.send({ port, from, count });
      });
    }
  }

  get acked(): number {
    return [...this.#acked.values()].reduce((sum, count) => sum + count, 0);
  }

  async until(acked: number): Promise<void> {
    while (this.acked < acked) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  stop(): void {
    for (const child of this.#children) child.disconnect();
  }
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;
}

async function measure(server: Server, collect = false) {
  const report = await server.ask({ kind: 'measure', collect });
  if (report.kind !== 'measured') throw new Error('unexpected report');
  return report;
}

async function run(setup: ServerSetup, streams: number, rounds: number): Promise<void> {
  const server = new Server();
  const ready = await server.ask({ kind: 'setup', setup });
  if (ready.kind !== 'ready') throw new Error('unexpected report');
  const before = await measure(server, true);
  const clients = new Clients();
  await clients.open(ready.port, streams);
  await clients.until(streams);
  const open = await measure(server, true);
  const perPush: number[] = [];
  const walls: number[] = [];
  const stalls: number[] = [];
  let last = await measure(server);
  const encodedBefore = last.encodings;
  for (let round = 1; round <= rounds; round++) {
    const startMs = performance.now();
    await server.ask({ kind: 'change' });
    await clients.until(streams * (round + 1));
    walls.push(performance.now() - startMs);
    const now = await measure(server);
    perPush.push((now.cpuUs - last.cpuUs) / streams);
    stalls.push(now.stallMs);
    last = now;
  }
  const tenth = (value: number): number => Math.round(value * 10) / 10;
  console.log({
    ...setup,
    streams,
    cpuUsPerPush: tenth(median(perPush)),
    cpuUsPerPushRange: [Math.min(...perPush), Math.max(...perPush)].map(tenth),
    wallMs: Math.round(median(walls)),
    longestStallMs: Math.round(median(stalls)),
    encodingsPerChange: (last.encodings - encodedBefore) / rounds,
    rssKibPerStream: tenth((open.rssBytes - before.rssBytes) / streams / 1_024),
    connectCpuUs: Math.round((open.cpuUs - before.cpuUs) / streams),
  });
  clients.stop();
  server.stop();
}

const { transport } = values;
if (transport !== 'http2' && transport !== 'grpc-js') {
  throw new RangeError(`--transport ${transport}`);
}
await run(
  { transport, bytes: Number(values.bytes) },
  Number(values.streams),
  Number(values.rounds),
);
