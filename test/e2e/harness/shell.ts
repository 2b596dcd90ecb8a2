/** What people type. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { fileURLToPath } from 'node:url';
import { testCache } from '../../components/cache.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** A command in a shell in the checkout; ended with all that it started. */
export class Shell {
  readonly #child: ChildProcess;
  readonly ended: Promise<number | null>;
  output = '';

  constructor(command: string, environment: NodeJS.ProcessEnv = {}) {
    this.#child = spawn(command, {
      ...{ shell: true, cwd: root, detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
      env: { ...process.env, WATERSHED_CACHE: testCache, ...environment },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
    this.ended = once(this.#child, 'close').then(([status]) => status as number | null);
  }

  /** To the command alone, not to what it started. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** As Ctrl-C does it: the signal goes to all of them. */
  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null && pid !== undefined) process.kill(-pid, signal);
    await this.ended;
  }
}

/** Whether anything listens on a port of loopback. */
export function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
