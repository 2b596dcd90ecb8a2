/**
 * What clients that stop reading cost the others: two servers with the same clients take turns in
 * one run, and one of them has stuck clients beside. Told is how long after a change it is with
 * all that read, and what it costs.
 *
 *     npm run bench:stuck -- [--streams 1000] [--stuck 200] [--rounds 40]
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ownServer, Server } from '../fanout/processes.ts';
import { median, spread } from '../statistics.ts';
import type { Order, Report } from './messages.ts';

const { values } = parseArgs({
  options: {
    streams: { type: 'string', default: '1000' },
    stuck: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '40' },
    transport: { type: 'string', default: 'http2' },
  },
});
const streams = Number(values.streams);

class Clients {
  readonly #child: ChildProcess;

  constructor() {
    const script = fileURLToPath(new URL('client.ts', import.meta.url));
    this.#child = fork(script, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }

  async ask(order: Order): Promise<Report> {
    const answered = once(this.#child, 'message') as Promise<[Report]>;
    this.#child.send(order);
    const [report] = await answered;
    return report;
  }

  stop(): void {
    this.#child.disconnect();
  }
}

/** One server with its clients. */
class Lane {
  readonly name: string;
  readonly #server: Server;
  readonly #reading: Clients;
  readonly #stuck: Clients | undefined;
  readonly #rssKib: { readonly before: number; after: number };
  readonly p50Ms: number[] = [];
  readonly p99Ms: number[] = [];
  readonly #cpuUs: number[] = [];

  private constructor(
    name: string,
    server: Server,
    clients: { readonly reading: Clients; readonly stuck: Clients | undefined },
    rssKib: number,
  ) {
    this.name = name;
    this.#server = server;
    this.#reading = clients.reading;
    this.#stuck = clients.stuck;
    this.#rssKib = { before: rssKib, after: rssKib };
  }

  static async open(name: string, stuck: number, net: number): Promise<Lane> {
    const flags = ['--clusters', '1', '--bytes', '10240', '--transport', values.transport];
    const server = await Server.start(ownServer(...flags));
    const { port } = server;
    const reading = new Clients();
    const of = (count: number, isStuck: boolean, host: number): Order => ({
      ...{ kind: 'open', port, localAddress: `127.${net}.0.${host}` },
      ...{ count, stuck: isStuck },
    });
    await reading.ask(of(streams, false, 1));
    const others = stuck === 0 ? undefined : new Clients();
    await others?.ask(of(stuck, true, 2));
    const { rssBytes } = await server.measure(true);
    return new Lane(name, server, { reading, stuck: others }, rssBytes / 1_024);
  }

  async round(counts: boolean): Promise<void> {
    const { cpuUs } = await this.#server.measure();
    const arrived = this.#reading.ask({ kind: 'await', arrivals: streams });
    const startNs = Number(process.hrtime.bigint());
    await this.#server.change();
    const report = await arrived;
    const after = await this.#server.measure();
    if (report.kind !== 'arrived' || !counts) return;
    const ms = report.atNs.map((at) => (at - startNs) / 1e6).sort((a, b) => a - b);
    this.p50Ms.push(ms[Math.floor(ms.length / 2)] ?? 0);
    this.p99Ms.push(ms[Math.floor(ms.length * 0.99)] ?? 0);
    this.#cpuUs.push((after.cpuUs - cpuUs) / streams);
  }

  async end(): Promise<void> {
    this.#rssKib.after = (await this.#server.measure(true)).rssBytes / 1_024;
  }

  row(): Record<string, string | number> {
    return {
      server: this.name,
      'p50 ms': spread(this.p50Ms),
      'p99 ms': spread(this.p99Ms),
      'CPU µs/push': spread(this.#cpuUs),
      'grew by KiB': Math.round(this.#rssKib.after - this.#rssKib.before),
    };
  }

  async stop(): Promise<void> {
    this.#reading.stop();
    this.#stuck?.stop();
    await this.#server.stop();
  }
}

const without = await Lane.open('all read', 0, 1);
const beside = await Lane.open(`and ${values.stuck} that do not`, Number(values.stuck), 2);
const lanes = [without, beside];
// Some that do not count: code is compiled, and what is stuck is full.
for (let done = 0; done < 5; done++) for (const lane of lanes) await lane.round(false);
for (let done = 0; done < Number(values.rounds); done++) {
  // Each goes first as often as the other.
  for (const lane of done % 2 === 0 ? lanes : lanes.toReversed()) await lane.round(true);
}
for (const lane of lanes) await lane.end();
console.log(`${streams} streams that read, ${values.rounds} rounds: median (least–most)`);
console.table(lanes.map((lane) => lane.row()));
const ratios = without.p99Ms.map((ms, at) => (beside.p99Ms[at] ?? 0) / ms);
const ofMedians = (median(beside.p99Ms) / median(without.p99Ms)).toFixed(2);
console.log(`p99 beside stuck clients: ${ofMedians}x; by pairs ${median(ratios).toFixed(2)}x`);
console.log('(goal: 1.05x)');
for (const lane of lanes) await lane.stop();
