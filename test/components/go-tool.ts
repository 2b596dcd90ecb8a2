import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fetchOnce } from 'xdsctl/components/cache.ts';
import { run, type RunOptions, type RunResult } from 'xdsctl/components/child.ts';
import { testCache, testProgress } from './cache.ts';

const buildTimeoutMs = 300_000;

export interface GoTool {
  /**
   * The folder of its go.mod and go.sum, below `go/`: they pin all that it is built from. A program
   * of our own is there as well.
   */
  readonly name: string;
  readonly version: string;
  readonly package: string;
}

/** Runs a program to its end; it is built with `go` on first use. */
export async function runGoTool(
  tool: GoTool,
  args: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  const { name, version } = tool;
  const entry = { name: `${name}-${version}`, make: (to: string) => build(tool, to) };
  return run(join(await fetchOnce(testCache, entry, testProgress), name), args, options);
}

async function build(tool: GoTool, directory: string): Promise<void> {
  testProgress(`building ${tool.name} ${tool.version} (Go module proxy, once per machine)`);
  await cp(join(import.meta.dirname, 'go', tool.name), directory, { recursive: true });
  const args = ['build', '-o', tool.name, tool.package];
  let result;
  try {
    result = await run('go', args, { cwd: directory, timeoutMs: buildTimeoutMs });
  } catch (error) {
    throw new Error(`go (1.26 or later) is needed to build ${tool.name}`, { cause: error });
  }
  if (result.status !== 0) throw new Error(`go build failed: ${result.stderr.slice(-2_000)}`);
}
