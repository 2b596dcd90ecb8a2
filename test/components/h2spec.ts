import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fetchOnce } from 'xdsctl/components/cache.ts';
import { run } from 'xdsctl/components/child.ts';
import { testCache, testProgress } from './cache.ts';

/** The newest that the Go module proxy has; what it needs is pinned by `h2spec/go.sum`. */
const version = '2.2.1';
const buildTimeoutMs = 240_000;
const runTimeoutMs = 240_000;
/** For each answer; a case that fails by silence takes that long. */
const answerSeconds = 2;

export interface Findings {
  readonly cases: number;
  /** `GROUP SECTION/NUMBER`, as in `http2 5.1/8`. */
  readonly failed: readonly string[];
}

/** Runs h2spec (github.com/summerwind/h2spec) against a server of HTTP/2 in plaintext. */
export async function runH2spec(port: number): Promise<Findings> {
  const entry = { name: `h2spec-${version}`, make: build };
  const program = join(await fetchOnce(testCache, entry, testProgress), 'h2spec');
  const args = ['--port', String(port), '--timeout', String(answerSeconds)];
  const { stdout, stderr } = await run(program, args, { timeoutMs: runTimeoutMs });
  const cases = Number(/^(\d+) tests, /mu.exec(stdout)?.[1] ?? 0);
  if (cases === 0) throw new Error(`h2spec did not end: ${(stdout + stderr).slice(-2_000)}`);
  return { cases, failed: failuresOf(stdout) };
}

const groups = new Map([
  ['Generic tests for HTTP/2 server', 'generic'],
  ['Hypertext Transfer Protocol Version 2 (HTTP/2)', 'http2'],
  ['HPACK: Header Compression for HTTP/2', 'hpack'],
]);

/** The report lists failures behind all results, under the headings of their sections. */
function failuresOf(report: string): readonly string[] {
  const failed: string[] = [];
  let group = '';
  let section = '';
  for (const line of report.slice(report.indexOf('Failures:')).split('\n')) {
    const text = line.trim();
    group = groups.get(text) ?? group;
    section = /^(\d+(?:\.\d+)*)\. /u.exec(text)?.[1] ?? section;
    const number = /^× (\d+): /u.exec(text)?.[1];
    if (number !== undefined) failed.push(`${group} ${section}/${number}`);
  }
  return failed;
}

async function build(directory: string): Promise<void> {
  testProgress(`building h2spec ${version} (Go module proxy, once per machine)`);
  for (const file of ['go.mod', 'go.sum']) {
    await writeFile(
      join(directory, file),
      await readFile(join(import.meta.dirname, 'h2spec', file)),
    );
  }
  const args = ['build', '-o', 'h2spec', 'github.com/summerwind/h2spec/cmd/h2spec'];
  let result;
  try {
    result = await run('go', args, { cwd: directory, timeoutMs: buildTimeoutMs });
  } catch (error) {
    throw new Error('go (1.26 or later) is needed to build h2spec', { cause: error });
  }
  if (result.status !== 0) throw new Error(`go build failed: ${result.stderr.slice(-2_000)}`);
}
