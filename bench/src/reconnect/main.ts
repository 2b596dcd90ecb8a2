/**
 * Streams that come back in delta with all that they hold, nothing of it changed, beside a server
 * that only opens them: one connection each, the same clients, alternating.
 *
 *     npm run bench:reconnect -- [--streams 18000] [--rounds 5] [--clusters 100]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { median, round, spread } from '../statistics.ts';
import { buildPeers } from '../fanout/peers.ts';
import { Clients, ownServer, Server } from '../fanout/processes.ts';

const { values } = parseArgs({
  options: {
    streams: { type: 'string', default: '18000' },
    rounds: { type: 'string', default: '5' },
    clusters: { type: 'string', default: '100' },
  },
});
const streams = Number(values.streams);

/** Behind the opening of the streams and behind their end, until the server has done all. */
const calmMs = 2_000;

class Lane {
  readonly name: string;
  readonly #server: Server;
  readonly #clients = new Clients(streams);
  readonly #net: number;
  readonly #openUs: number[] = [];
  readonly #closeUs: number[] = [];
  #resourceBytes = 0;
  #resumed = 0;

  constructor(name: string, server: Server, net: number) {
    this.name = name;
    this.#server = server;
    this.#net = net;
  }

  /** From a server that has the resources: what the streams come back with. */
  async learn(port: number): Promise<void> {
    await this.#clients.learn({ port, net: this.#net });
  }

  async round(): Promise<void> {
    const before = await this.#server.measure();
    const { port } = this.#server;
    await this.#clients.open({ port, mode: 'delta', streams, net: this.#net, resume: true });
    await sleep(calmMs);
    const open = await this.#server.measure();
    this.#resourceBytes += await this.#clients.close();
    await sleep(calmMs);
    const closed = await this.#server.measure();
    this.#openUs.push((open.cpuUs - before.cpuUs) / streams);
    this.#closeUs.push((closed.cpuUs - open.cpuUs) / streams);
    this.#resumed = (open.own?.resumed ?? 0) - (before.own?.resumed ?? 0);
  }

  get openUs(): number {
    return median(this.#openUs);
  }

  row(): Record<string, string | number> {
    return {
      server: this.name,
      'open CPU µs/stream': spread(this.#openUs),
      'close CPU µs/stream': spread(this.#closeUs),
      'resource bytes': this.#resourceBytes,
      'told nothing': this.#resumed,
    };
  }

  async stop(): Promise<void> {
    this.#clients.stop();
    await this.#server.stop();
  }
}

const peer = await buildPeers();
const ours = await Server.start(ownServer('--clusters', values.clusters, '--bytes', '160'));
const theirs = await Server.start({ file: peer('grpcgo'), args: ['--silent'] });
const lanes = [new Lane('watershed', ours, 1), new Lane('grpc-go, opened only', theirs, 2)];
for (const lane of lanes) await lane.learn(ours.port);
for (let done = 0; done < Number(values.rounds); done++) {
  for (const lane of lanes) await lane.round();
}
console.log(
  `${streams} streams with ${values.clusters} versions each, ` +
    `${values.rounds} rounds: median (least–most)`,
);
console.table(lanes.map((lane) => lane.row()));
const [a, b] = lanes;
if (a !== undefined && b !== undefined) console.log(`${round(a.openUs / b.openUs)}x CPU`);
for (const lane of lanes) await lane.stop();
