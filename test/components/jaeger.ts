import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChild } from 'xdsctl/components/child.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { goTool } from './go-tool.ts';

const jaeger = {
  name: 'jaeger',
  version: '1.76.0',
  package: 'github.com/jaegertracing/jaeger/cmd/all-in-one',
  buildTimeoutMs: 1_800_000,
};
const startTimeoutMs = 30_000;

export interface Jaeger {
  /** Takes OTLP over HTTP. */
  readonly otlp: string;
  /** The query API's address, `http://HOST:PORT`. */
  readonly query: string;
  stop(): Promise<void>;
}

/** Unless it is at hand; 5 to 10 minutes. */
export function buildJaeger(): Promise<string> {
  return goTool(jaeger);
}

/** A real Jaeger that keeps traces in memory; the first start builds it, for some minutes. */
export async function startJaeger(): Promise<Jaeger> {
  const command = await buildJaeger();
  const directory = await mkdtemp(join(tmpdir(), 'watershed-jaeger-'));
  const [otlp, query, ...others] = [
    ...[await freePort(), await freePort(), await freePort(), await freePort()],
    ...[await freePort(), await freePort(), await freePort()],
  ].map((port) => `127.0.0.1:${port}`);
  const servers = [
    'admin.http',
    'collector.grpc-server',
    'collector.http-server',
    'collector.otlp.grpc',
    'query.grpc-server',
  ];
  const logFile = join(directory, 'jaeger.log');
  const child = startChild({
    command,
    args: [
      `--collector.otlp.http.host-port=${otlp}`,
      `--query.http-server.host-port=${query}`,
      ...servers.map((server, at) => `--${server}.host-port=${others[at]}`),
    ],
    logFile,
    cwd: directory,
    environment: { ...process.env, SPAN_STORAGE_TYPE: 'memory' },
  });
  const stop = async (): Promise<void> => {
    await child.stop(5_000);
    await rm(directory, { recursive: true, force: true });
  };
  const deadline = performance.now() + startTimeoutMs;
  while (!(await answers(`http://${query}/api/services`))) {
    if (child.exit === undefined && performance.now() < deadline) {
      await sleep(50);
      continue;
    }
    const log = await readFile(logFile, 'utf8');
    await stop();
    throw new Error(`Jaeger did not start: ${log.slice(-2_000)}`);
  }
  return { otlp: `http://${otlp}`, query: `http://${query}`, stop };
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false;
  }
}
