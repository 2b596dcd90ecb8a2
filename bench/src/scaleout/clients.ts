import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { OpenOrder, Order, Report } from './messages.ts';

/** Simulated proxies, in as many processes as their sockets need. */
export class Clients {
  readonly #processes: readonly ClientProcess[];

  constructor(processes: number) {
    this.#processes = Array.from({ length: processes }, () => new ClientProcess());
  }

  get pids(): readonly number[] {
    return this.#processes.map(({ pid }) => pid);
  }

  /** Shared out over the processes. */
  async open(order: Omit<OpenOrder, 'kind' | 'first'>): Promise<void> {
    const each = Math.ceil(order.streams / this.#processes.length);
    await Promise.all(
      this.#processes.map((one, at) => {
        const streams = Math.max(0, Math.min(each, order.streams - at * each));
        return one.send({ ...order, kind: 'open', first: at * each, streams });
      }),
    );
  }

  async send(order: Order): Promise<Report> {
    const reports = await Promise.all(this.#processes.map((one) => one.send(order)));
    const reached: Record<string, number> = {};
    for (const report of reports) {
      for (const [name, stamp] of Object.entries(report.reached)) {
        reached[name] = Math.min(reached[name] ?? stamp, stamp);
      }
    }
    return {
      streams: reports.reduce((sum, { streams }) => sum + streams, 0),
      acked: reports.reduce((sum, { acked }) => sum + acked, 0),
      latencies: reports.flatMap(({ latencies }) => latencies).sort((a, b) => a - b),
      reached,
    };
  }

  stop(): void {
    for (const one of this.#processes) one.stop();
  }
}

class ClientProcess {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(fileURLToPath(new URL('client.ts', import.meta.url)), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      execArgv: ['--max-semi-space-size=32'],
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  async send(order: Order): Promise<Report> {
    const answered = new AbortController();
    const { signal } = answered;
    const ended = once(this.#child, 'exit', { signal }).then(
      () => Promise.reject(new Error('the process of clients ended')),
      () => new Promise<never>(() => undefined),
    );
    const answer = once(this.#child, 'message', { signal });
    this.#child.send(order);
    try {
      const [report] = await Promise.race([answer, ended]);
      return report as Report;
    } finally {
      answered.abort();
    }
  }

  stop(): void {
    // At once: that its streams end with the servers is no failure.
    this.#child.kill('SIGKILL');
  }
}
