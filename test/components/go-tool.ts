import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fetchOnce } from 'xdsctl/components/cache.ts';
import { run, type RunOptions, type RunResult } from 'xdsctl/components/child.ts';
import { testCache, testProgress } from './cache.ts';

const defaultTimeoutMs = 300_000;
const progressEveryMs = 60_000;

export interface GoTool {
  readonly name: string;
  readonly version: string;
  readonly package: string;
  /**
   * The folder, below `go/`, of its go.mod and go.sum, which pin all that it is built from; a
   * program of our own is there as well. Default: its name.
   */
  readonly modules?: string;
  /** For `-ldflags`. */
  readonly linking?: string;
  /** Default 5 minutes. */
  readonly buildTimeoutMs?: number;
}

/** Where its program is; it is built with `go` on first use. */
export async function goTool(tool: GoTool): Promise<string> {
  const { name, version } = tool;
  const entry = { name: `${name}-${version}`, make: (to: string) => build(tool, to) };
  return join(await fetchOnce(testCache, entry, testProgress), name);
}

/** Runs it to its end. */
export async function runGoTool(
  tool: GoTool,
  args: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  return run(await goTool(tool), args, options);
}

async function build(tool: GoTool, directory: string): Promise<void> {
  const { name, version, linking, buildTimeoutMs: timeoutMs = defaultTimeoutMs } = tool;
  testProgress(`building ${name} ${version} (Go module proxy, once per machine)`);
  const modules = join(import.meta.dirname, 'go', tool.modules ?? name);
  await cp(modules, directory, { recursive: true });
  const args = ['build', '-trimpath', ...(linking === undefined ? [] : ['-ldflags', linking])];
  args.push('-o', name, tool.package);
  const startedAt = performance.now();
  const heartbeat = setInterval(() => {
    const minutes = Math.round((performance.now() - startedAt) / 60_000);
    testProgress(`still building ${name}, for ${minutes} min`);
  }, progressEveryMs);
  let result;
  try {
    // Without C: what is built is the same whether there is a compiler of it or not.
    const environment = { ...process.env, CGO_ENABLED: '0' };
    result = await run('go', args, { cwd: directory, environment, timeoutMs });
  } catch (error) {
    throw new Error(`go (1.26 or later) is needed to build ${name}`, { cause: error });
  } finally {
    clearInterval(heartbeat);
  }
  if (result.status !== 0) throw new Error(`go build failed: ${result.stderr.slice(-2_000)}`);
}
