/** One event: what the server spends on it, what clients get, and when. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from './clients.ts';
import type { Report, TypeCount } from './pool.ts';
import type { Server } from './server.ts';

export interface Row {
  readonly event: string;
  /** CPU seconds of the server, user and system. */
  readonly cpu: number;
  /** Of them, what it would have spent anyway in that time. */
  readonly idle: number;
  readonly bytes: number;
  /** By type, without its package. */
  readonly byType: Readonly<Record<string, TypeCount>>;
  readonly encoded: number;
  /** Types of streams that came back with what they hold. */
  readonly resumed: number;
  /** Seconds from the change until a client had ACKed its last message. */
  readonly p50: number;
  readonly p99: number;
  /** Clients that got something. */
  readonly touched: number;
  readonly rssMb: number;
  /** Of it: what is used of node's heap, and what is outside of it (buffers). */
  readonly heapMb: number;
  readonly externalMb: number;
}

export interface Expected {
  /** Clients that get something. */
  readonly touched?: number;
  /** Clients whose stream opens. */
  readonly opened?: number;
  /** Types of streams that come back: clients that are stuck look cheap. */
  readonly resumed?: number;
}

/** How long to wait for the first message, where one is expected at all. */
const patienceMs = 20_000;
const limitMs = 180_000;
const pollMs = 250;
/** CPU seconds in one second; more is work that is still under way. */
const calmCpu = 0.05;

export class Meter {
  readonly #server: Server;
  readonly #pool: Pool;
  /** CPU seconds per second when nothing happens. */
  #idleRate = 0;

  readonly #quietMs: number;

  /** `quietMs`: nothing came for so long, and the server is calm: an event is over. */
  constructor(server: Server, pool: Pool, quietMs = 2_000) {
    this.#server = server;
    this.#pool = pool;
    this.#quietMs = quietMs;
  }

  /** What a server costs that has nothing to do; taken off what follows. */
  async nothing(ms: number): Promise<Row> {
    const startedMs = performance.now();
    this.#idleRate = 0;
    const row = await this.event('nothing', () => sleep(ms), {});
    this.#idleRate = row.cpu / ((performance.now() - startedMs) / 1_000);
    return row;
  }

  async event(event: string, change: () => Promise<unknown>, expected: Expected): Promise<Row> {
    await this.#pool.send({ do: 'mark' });
    const encodedBefore = await this.#encodings();
    const resumedBefore = await this.#resumes();
    const startedAt = Date.now();
    const cpuBefore = this.#server.cpuSeconds();
    await change();
    let report = await this.#wait(startedAt, expected);
    // Before the server is asked for its metrics: that is not the event's cost.
    let cpu = this.#server.cpuSeconds() - cpuBefore;
    while ((await this.#resumes()) - resumedBefore < (expected.resumed ?? 0)) {
      if (Date.now() - startedAt > limitMs) throw new Error('not all came back');
      await sleep(this.#quietMs);
      report = await this.#wait(startedAt, expected);
      cpu = this.#server.cpuSeconds() - cpuBefore;
    }
    const seconds = (Date.now() - startedAt) / 1_000;
    const latencies = report.lastAt.map((at) => (at - startedAt) / 1000).sort((a, b) => a - b);
    const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
    const { byType } = report;
    return {
      event,
      cpu,
      idle: this.#idleRate * seconds,
      bytes: Object.values(byType).reduce((sum, count) => sum + count.bytes, 0),
      byType,
      encoded: (await this.#encodings()) - encodedBefore,
      resumed: (await this.#resumes()) - resumedBefore,
      p50: at(0.5),
      p99: at(0.99),
      touched: report.touched,
      rssMb: this.#server.residentMb(),
      heapMb: await this.#megabytes('nodejs_heap_size_used_bytes'),
      externalMb: await this.#megabytes('nodejs_external_memory_bytes'),
    };
  }

  async #wait(startedAt: number, expected: Expected): Promise<Report> {
    const cpu: number[] = [];
    for (;;) {
      cpu.push(this.#server.cpuSeconds());
      const report = await this.#pool.send({ do: 'report' });
      const waitedMs = Date.now() - startedAt;
      const { touched = 0, opened = 0 } = expected;
      const done = report.touched >= touched && report.opened >= opened;
      const quiet = Date.now() - Math.max(startedAt, report.newestAt) > this.#quietMs;
      const second = cpu.slice(-1 - 1_000 / pollMs);
      const calm = (second.at(-1) ?? 0) - (second[0] ?? 0) < calmCpu;
      if (waitedMs > limitMs || ((done || waitedMs > patienceMs) && quiet && calm)) return report;
      await sleep(pollMs);
    }
  }

  #encodings(): Promise<number> {
    return this.#server.metric('watershed_encodings_total');
  }

  #resumes(): Promise<number> {
    return this.#server.metric('watershed_resumes_total');
  }

  async #megabytes(name: string): Promise<number> {
    return (await this.#server.metric(name)) / 1024 / 1024;
  }
}
