/** The process under test: started, watched from outside (CPU, memory), asked for its metrics. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { cpuSecondsOf, residentMbOf } from '../proc.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

interface Command {
  readonly env: Readonly<Record<string, string>>;
  readonly args: readonly string[];
}

/** What `npm start` sets, and hands to node: that is part of what is measured. */
function startCommand(): Command {
  const manifest = readFileSync(join(root, 'package.json'), 'utf8');
  const [, env, args] = /"start": "((?:\w+=\S+ )*)(?:exec )?node ([^"]+)"/u.exec(manifest) ?? [];
  if (args === undefined) throw new Error('package.json has no start script that runs node');
  return {
    env: Object.fromEntries(new URLSearchParams(env?.trim().replaceAll(' ', '&'))),
    args: args.split(' '),
  };
}

export class Server {
  readonly #child: ChildProcess;
  readonly grpcPort: number;
  readonly #monitoringPort: number;

  private constructor(child: ChildProcess, grpcPort: number, monitoringPort: number) {
    this.#child = child;
    this.grpcPort = grpcPort;
    this.#monitoringPort = monitoringPort;
  }

  static async start(
    configDir: string,
    dataDir: string,
    nodeOptions: readonly string[] = [],
  ): Promise<Server> {
    const [grpc, monitoring] = [await freePort(), await freePort()];
    const { env, args } = startCommand();
    const child = spawn(
      process.execPath,
      [
        ...nodeOptions,
        ...args,
        ...['--configDir', configDir, '--dataDir', dataDir],
        ...['--grpcAddr', `127.0.0.1:${grpc}`, '--monitoringAddr', `127.0.0.1:${monitoring}`],
        ...['--log_output_level', 'default:warn'],
      ],
      { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] },
    );
    const server = new Server(child, grpc, monitoring);
    for (let i = 0; i < 600; i++) {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
      if (await server.#isReady()) return server;
      await sleep(200);
    }
    throw new Error('the server was not ready after two minutes');
  }

  async #isReady(): Promise<boolean> {
    try {
      return (await fetch(this.#url('/ready'))).ok;
    } catch {
      return false;
    }
  }

  /** Since the start. */
  cpuSeconds(): number {
    return cpuSecondsOf(this.#child.pid ?? 0);
  }

  residentMb(): number {
    return residentMbOf(this.#child.pid ?? 0);
  }

  /** The sum over all series of a metric. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(this.#url('/metrics'))).text();
    let sum = 0;
    for (const line of text.split('\n')) {
      if (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) {
        sum += Number(line.slice(line.lastIndexOf(' ') + 1));
      }
    }
    return sum;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    await Promise.race([ended, sleep(15_000)]);
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
  }

  #url(path: string): string {
    return `http://127.0.0.1:${this.#monitoringPort}${path}`;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() =>
        resolve(typeof address === 'object' && address !== null ? address.port : 0),
      );
    });
  });
}
