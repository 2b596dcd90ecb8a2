import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startChild, type Child } from './child.ts';

const main = fileURLToPath(new URL('../../../standalone/src/main.ts', import.meta.url));

export interface WatershedOptions {
  readonly configDir: string;
  readonly dataDir: string;
  /** `host:port`; default: ports that are free. */
  readonly grpc?: string;
  readonly monitoring?: string;
  readonly args?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Takes its output. */
  readonly logFile: string;
  /** How long until it must be ready. Default 60 s. */
  readonly startTimeoutMs?: number;
}

/** A running one-process Watershed. */
export interface Watershed {
  readonly child: Child;
  /** `host:port` of xDS. */
  readonly grpc: string;
  /** The same over TLS, where it is served. */
  readonly secureGrpc?: string;
  /** `host:port` of /metrics and /debug. */
  readonly monitoring: string;
}

/** Starts the process of `npm start`; resolves when it is ready, and fails with the end of its log. */
export async function startWatershed(options: WatershedOptions): Promise<Watershed> {
  const { configDir, dataDir, logFile, args = [], environment } = options;
  const { grpc = '127.0.0.1:0', monitoring = '127.0.0.1:0' } = options;
  const child = startChild({
    command: process.execPath,
    args: [
      ...[main, '--configDir', configDir, '--dataDir', dataDir, '--log_as_json=true'],
      ...['--grpcAddr', grpc, '--monitoringAddr', monitoring, ...args],
    ],
    logFile,
    ...(environment === undefined ? {} : { environment }),
  });
  const deadline = performance.now() + (options.startTimeoutMs ?? 60_000);
  for (;;) {
    const log = await readFile(logFile, 'utf8');
    const addresses = readyLine(log);
    if (addresses !== undefined) return { child, ...addresses };
    if (child.exit !== undefined || performance.now() > deadline) {
      await child.stop(0);
      throw new Error(`Watershed did not start; the end of ${logFile}:\n${log.slice(-4_000)}`);
    }
    await sleep(20);
  }
}

/** The line that says that it is ready, and where it listens. */
function readyLine(log: string): Omit<Watershed, 'child'> | undefined {
  const line = log.split('\n').findLast((text) => text.includes('"Watershed is ready"'));
  const grpc = /"grpc":"([^"]+)"/u.exec(line ?? '')?.[1];
  const monitoring = /"monitoring":"([^"]+)"/u.exec(line ?? '')?.[1];
  const secureGrpc = /"secureGrpc":"([^"]+)"/u.exec(line ?? '')?.[1];
  if (grpc === undefined || monitoring === undefined) return undefined;
  return { grpc, monitoring, ...(secureGrpc === undefined ? {} : { secureGrpc }) };
}
