import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mustGoOn, own } from './janitor.ts';

export interface RunResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly environment?: NodeJS.ProcessEnv;
  /** The command is killed after it. */
  readonly timeoutMs: number;
}

const maxOutputLength = 4 * 1024 * 1024;

/** Runs a command to its end; output beyond 4 MiB is dropped. Rejects only if it cannot be started. */
export function run(
  command: string,
  args: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.environment === undefined ? {} : { env: options.environment }),
    });
    own(child);
    let stdout = '';
    let stderr = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (stdout.length < maxOutputLength) stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < maxOutputLength) stderr += text;
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (status) => {
      clearTimeout(timer);
      resolve({ status, stdout, stderr });
    });
  });
}

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Takes both output streams. */
  readonly logFile: string;
  readonly cwd?: string;
  readonly environment?: NodeJS.ProcessEnv;
}

export interface Exit {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A server process that this process owns: it does not outlive it. */
export class Child {
  readonly #process: ChildProcess;
  /** Settles when it has ended, however it ended. */
  readonly exited: Promise<Exit>;
  #exit: Exit | undefined;

  constructor(process: ChildProcess) {
    this.#process = process;
    this.exited = new Promise((resolve) => {
      const end = (exit: Exit): void => {
        this.#exit = exit;
        resolve(exit);
      };
      process.once('exit', (status, signal) => end({ status, signal }));
      process.once('error', () => end({ status: null, signal: null }));
    });
    own(process);
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  /** Set once it has ended. */
  get exit(): Exit | undefined {
    return this.#exit;
  }

  signal(name: NodeJS.Signals): void {
    if (this.#exit === undefined) this.#process.kill(name);
  }

  /** SIGTERM, then SIGKILL after `graceMs`. Resolves when it has ended. */
  async stop(graceMs: number): Promise<Exit> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * In a session of its own: Ctrl-C is for whoever started it, and he ends what others need last.
 *
 * @throws Error when this process is about to end
 */
export function startChild(options: ChildOptions): Child {
  mustGoOn();
  const log = openSync(options.logFile, 'a');
  try {
    return new Child(
      spawn(options.command, options.args, {
        stdio: ['ignore', log, log],
        detached: true,
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
        ...(options.environment === undefined ? {} : { env: options.environment }),
      }),
    );
  } finally {
    closeSync(log);
  }
}
