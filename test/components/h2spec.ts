import { runGoTool } from './go-tool.ts';

const h2spec = {
  name: 'h2spec',
  // The newest that the Go module proxy has.
  version: '2.2.1',
  package: 'github.com/summerwind/h2spec/cmd/h2spec',
};
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
  const args = ['--port', String(port), '--timeout', String(answerSeconds)];
  const { stdout, stderr } = await runGoTool(h2spec, args, { timeoutMs: runTimeoutMs });
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
