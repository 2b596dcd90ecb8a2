/**
 * One change of one resource, to many streams of one connection each, beside other servers that are
 * given the same clients: in each round each server has its turn, and the next round goes the other
 * way round, for who comes after whom shows.
 *
 *     npm run bench:fanout -- [--streams 4000] [--rounds 7] [--servers NAME,NAME]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Mode } from '@watershed/pusher/session/request.ts';
import type { Measured } from './messages.ts';
import { buildPeers, type Peer } from './peers.ts';
import { Clients, ownServer, Server, type Command } from './processes.ts';
import { median, round, spread } from '../statistics.ts';

interface Contender {
  readonly name: string;
  readonly mode: Mode;
  readonly command: (peer: (name: Peer) => string) => Command;
}

const one = ['--clusters', '1', '--bytes', '10240'];
const hundred = ['--clusters', '100', '--bytes', '160'];

const contenders: readonly Contender[] = [
  { name: 'watershed', mode: 'delta', command: () => ownServer(...one) },
  {
    name: 'grpc-go',
    mode: 'delta',
    command: (peer) => ({ file: peer('grpcgo'), args: ['--bytes', '10240'] }),
  },
  { name: 'watershed-100-sotw', mode: 'sotw', command: () => ownServer(...hundred) },
  {
    name: 'go-control-plane-100-sotw',
    mode: 'sotw',
    command: (peer) => ({ file: peer('controlplane'), args: [] }),
  },
  { name: 'watershed-100-delta', mode: 'delta', command: () => ownServer(...hundred) },
  {
    name: 'go-control-plane-100-delta',
    mode: 'delta',
    command: (peer) => ({ file: peer('controlplane'), args: [] }),
  },
  // Other transports of ours.
  {
    name: 'watershed-http2',
    mode: 'delta',
    command: () => ownServer(...one, '--transport', 'http2'),
  },
  {
    name: 'watershed-grpc-js',
    mode: 'delta',
    command: () => ownServer(...one, '--transport', 'grpc-js'),
  },
];

/** At the end, and not measured unless asked for. */
const others = 2;

/** CPU per push of the first over that of the second, and what it should be at most. */
const goals: readonly (readonly [string, string, number])[] = [
  ['watershed', 'grpc-go', 0.5],
  ['watershed', 'go-control-plane-100-sotw', 0.1],
  ['watershed', 'go-control-plane-100-delta', 0.2],
  ['watershed-100-sotw', 'go-control-plane-100-sotw', 0.1],
  ['watershed-100-delta', 'go-control-plane-100-delta', 0.2],
];

const usual = contenders.slice(0, -others).map(({ name }) => name);

const { values } = parseArgs({
  options: {
    streams: { type: 'string', default: '4000' },
    rounds: { type: 'string', default: '7' },
    servers: { type: 'string', default: usual.join(',') },
  },
});

/** One server with its clients, connected. */
class Lane {
  readonly name: string;
  readonly #server: Server;
  readonly #clients: Clients;
  readonly #streams: number;
  readonly #connectUs: number;
  readonly #rssKib: number;
  #last: Measured;
  #acked: number;
  #encodedBefore: number;
  readonly #pushUs: number[] = [];
  readonly #wallMs: number[] = [];
  readonly #stallP99Ms: number[] = [];
  readonly #stallMaxMs: number[] = [];

  private constructor(
    name: string,
    server: Server,
    clients: Clients,
    at: { readonly streams: number; readonly before: Measured; readonly open: Measured },
  ) {
    const { streams, before, open } = at;
    this.name = name;
    this.#server = server;
    this.#clients = clients;
    this.#streams = streams;
    this.#last = open;
    this.#acked = streams;
    this.#connectUs = (open.cpuUs - before.cpuUs) / streams;
    this.#rssKib = (open.rssBytes - before.rssBytes) / streams / 1_024;
    this.#encodedBefore = open.own?.encodings ?? 0;
  }

  static async open(name: string, mode: Mode, command: Command, net: number): Promise<Lane> {
    const streams = Number(values.streams);
    const server = await Server.start(command);
    const clients = new Clients(streams);
    const before = await server.measure(true);
    await clients.open({ port: server.port, mode, streams, net });
    await clients.until(streams);
    return new Lane(name, server, clients, { streams, before, open: await server.measure(true) });
  }

  async round(): Promise<void> {
    this.#last = await this.#server.measure();
    const startMs = performance.now();
    await this.#server.change();
    this.#acked += this.#streams;
    await this.#clients.until(this.#acked);
    this.#wallMs.push(performance.now() - startMs);
    const now = await this.#allRead();
    this.#pushUs.push((now.cpuUs - this.#last.cpuUs) / this.#streams);
    if (now.own !== undefined) {
      this.#stallP99Ms.push(now.own.stallP99Ms);
      this.#stallMaxMs.push(now.own.stallMaxMs);
    }
    this.#last = now;
  }

  /** What clients have sent may not have been read: to do so is part of a push. */
  async #allRead(): Promise<Measured> {
    for (;;) {
      const now = await this.#server.measure();
      if (now.acked >= this.#acked) return now;
      await sleep(20);
    }
  }

  /** Rounds so far do not count. */
  forget(): void {
    this.#encodedBefore = this.#last.own?.encodings ?? 0;
    for (const all of [this.#pushUs, this.#wallMs, this.#stallP99Ms, this.#stallMaxMs]) {
      all.length = 0;
    }
  }

  /** CPU µs per push of each round. */
  get pushUs(): readonly number[] {
    return this.#pushUs;
  }

  row(): Record<string, string | number> {
    const { own } = this.#last;
    const shared = {
      server: this.name,
      'CPU µs/push': spread(this.#pushUs),
      'RSS KiB/stream': round(this.#rssKib),
      'connect CPU µs': Math.round(this.#connectUs),
      'all ACKed ms': Math.round(median(this.#wallMs)),
    };
    if (own === undefined) return shared;
    return {
      ...shared,
      'stall p99 ms': spread(this.#stallP99Ms),
      'stall max ms': spread(this.#stallMaxMs),
      encodings: (own.encodings - this.#encodedBefore) / this.#pushUs.length,
    };
  }

  async stop(): Promise<void> {
    this.#clients.stop();
    await this.#server.stop();
  }
}

const wanted = values.servers.split(',');
const chosen = wanted.map((name) => {
  const found = contenders.find((one) => one.name === name);
  if (found === undefined) throw new RangeError(`no server ${name}`);
  return found;
});
const needsPeers = chosen.some(({ name }) => !name.startsWith('watershed'));
const peer = needsPeers ? await buildPeers() : () => '';
const lanes: Lane[] = [];
for (const [at, { name, mode, command }] of chosen.entries()) {
  lanes.push(await Lane.open(name, mode, command(peer), at + 1));
}
// One that does not count: everybody's code is compiled, and buffers have their size.
for (const lane of lanes) await lane.round();
for (const lane of lanes) lane.forget();
for (let done = 0; done < Number(values.rounds); done++) {
  for (const lane of done % 2 === 0 ? lanes : lanes.toReversed()) await lane.round();
}
console.log(`${values.streams} streams, ${values.rounds} rounds: median (least–most)`);
console.table(lanes.map((lane) => lane.row()));
for (const [ours, theirs, goal] of goals) {
  const a = lanes.find(({ name }) => name === ours);
  const b = lanes.find(({ name }) => name === theirs);
  if (a === undefined || b === undefined) continue;
  const ratio = (median(a.pushUs) / median(b.pushUs)).toFixed(3);
  const byRound = median(a.pushUs.map((us, at) => us / (b.pushUs[at] ?? us))).toFixed(3);
  const both = `${ratio}x CPU per push, ${byRound}x by rounds`;
  console.log(`${ours} / ${theirs}: ${both} (goal: ${goal}x)`);
}
for (const lane of lanes) await lane.stop();
