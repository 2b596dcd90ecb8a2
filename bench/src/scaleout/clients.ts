import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Order, Report } from './messages.ts';

/** The process of simulated proxies. */
export class Clients {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(fileURLToPath(new URL('client.ts', import.meta.url)), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
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
    if (this.#child.connected) this.#child.disconnect();
  }
}
