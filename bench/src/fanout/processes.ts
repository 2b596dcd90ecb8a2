/** The servers and the clients of a fan-out benchmark, each in processes of their own. */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Mode } from '@watershed/pusher/session/request.ts';
import type { ClientOrder, ClientReport, Measured, ServerOrder, ServerReport } from './messages.ts';

/** Streams that one process of clients holds. */
const perClient = 9_000;

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

/** Our own server, with flags of `server.ts`. */
export function ownServer(...flags: readonly string[]): Command {
  const script = fileURLToPath(new URL('server.ts', import.meta.url));
  return { file: process.execPath, args: ['--expose-gc', script, ...flags] };
}

export class Server {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  port = 0;

  private constructor({ file, args }: Command) {
    this.#child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('no stdout');
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  static async start(command: Command): Promise<Server> {
    const server = new Server(command);
    const ready = await server.#report();
    if (ready.kind !== 'ready') throw new Error(`not ready: ${ready.kind}`);
    server.port = ready.port;
    return server;
  }

  async change(): Promise<void> {
    await this.#ask({ kind: 'change' });
  }

  /** `collect`: without garbage. */
  async measure(collect = false): Promise<Measured> {
    const report = await this.#ask({ kind: 'measure', collect });
    if (report.kind !== 'measured') throw new Error(`not measured: ${report.kind}`);
    return report;
  }

  async stop(): Promise<void> {
    this.#child.stdin?.end();
    if (this.#child.exitCode === null) await once(this.#child, 'exit');
  }

  #ask(order: ServerOrder): Promise<ServerReport> {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    return this.#report();
  }

  async #report(): Promise<ServerReport> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error(`${this.#child.spawnfile} ended`);
    const report: ServerReport = JSON.parse(line.value);
    return report;
  }
}

/** Processes of clients of one server, and how many ACKs they have sent in all. */
export class Clients {
  readonly #children: ChildProcess[] = [];
  readonly #acked = new Map<ChildProcess, number>();
  #changed: (() => void) | undefined;

  constructor(streams: number) {
    for (let from = 0; from < streams; from += perClient) {
      const child = fork(fileURLToPath(new URL('client.ts', import.meta.url)), [], {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      });
      child.on('message', (report: ClientReport) => {
        if (report.kind === 'acked') this.#acked.set(child, report.count);
        this.#changed?.();
      });
      // What one says no more would be waited for without end.
      child.on('exit', (code) => {
        if (code !== 0) throw new Error(`clients ended with ${code}`);
      });
      this.#children.push(child);
    }
  }

  /** One process after the other: what a server is asked for is one storm, not several. */
  async open(how: {
    readonly port: number;
    readonly mode: Mode;
    readonly streams: number;
    /** Of the addresses that the connections come from, 1 to 255. */
    readonly net: number;
    readonly resume?: boolean;
  }): Promise<void> {
    const { port, mode, streams, net, resume = false } = how;
    for (const [at, child] of this.#children.entries()) {
      const from = at * perClient;
      const count = Math.min(perClient, streams - from);
      const localAddress = `127.${net}.${at}.1`;
      await this.#ask(child, { kind: 'open', port, mode, localAddress, from, count, resume });
    }
  }

  /** Each process holds one stream for a moment, whose resources its streams come back with. */
  async learn({ port, net }: { readonly port: number; readonly net: number }): Promise<void> {
    for (const [at, child] of this.#children.entries()) {
      const localAddress = `127.${net}.${at}.1`;
      const one = { mode: 'delta', from: 0, count: 1, resume: false } as const;
      await this.#ask(child, { kind: 'open', port, localAddress, ...one });
    }
    await this.close();
  }

  /** Gives how many bytes of resources came. */
  async close(): Promise<number> {
    let bytes = 0;
    for (const child of this.#children) {
      const report = await this.#ask(child, { kind: 'close' });
      if (report.kind === 'closed') bytes += report.resourceBytes;
    }
    return bytes;
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

  #ask(child: ChildProcess, order: ClientOrder): Promise<ClientReport> {
    return new Promise((resolve) => {
      const take = (report: ClientReport): void => {
        if (report.kind === 'acked') return;
        child.off('message', take);
        resolve(report);
      };
      child.on('message', take);
      child.send(order);
    });
  }
}
