/**
 * `npm test`: one step after the other, and as the last line `N passed, N failed`. `npm test --
 * lint fast` runs only these steps; `npm test -- all`, as CI does, the one whose programs (a
 * Kubernetes API server, Jaeger) take long to build as well.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

interface Counts {
  readonly passed: number;
  readonly failed: number;
  /** What failed, for the end of a long output: `file > title`. */
  readonly failures: readonly string[];
  /** Of these; a file that could not be run counts. */
  readonly files: readonly string[];
  /** Failed at first, and not when their files were run once more. */
  readonly unsteady?: readonly string[];
}

interface Step {
  readonly name: string;
  /** An npm script of the root package. */
  readonly script: string;
  readonly args?: readonly string[];
  /** Its tests are counted one by one; any other step counts as one. */
  readonly vitest?: true;
  /** It takes `--failures FILE`, and writes there what failed, a line each. */
  readonly lists?: true;
  /** Only when it is asked for: what it needs takes a long time to build, once. */
  readonly built?: true;
}

const minuteMs = 60_000;
/**
 * Of each step, which hangs then: tests have time-outs of their own, and a busy machine may take
 * three times as long for all of them. Less than CI waits for all steps, so that they are counted.
 */
const timeoutMs = 60 * minuteMs;
/** That many files are run once more when they fail: more are no accident. */
const againAtMost = 3;

const steps: readonly Step[] = [
  { name: 'typecheck', script: 'typecheck' },
  { name: 'lint', script: 'lint' },
  { name: 'format', script: 'format:check' },
  { name: 'deadcode', script: 'deadcode' },
  { name: 'proto', script: 'proto:check' },
  { name: 'fast', script: 'test:fast', vitest: true },
  { name: 'sim', script: 'sim', args: ['--tree'], lists: true },
  { name: 'sim:fresh', script: 'sim', lists: true },
  { name: 'real', script: 'test:real', vitest: true },
  { name: 'slow', script: 'test:slow', vitest: true, built: true },
];

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/**
 * Runs an npm script with its output passed on; a script that hangs is killed with all its
 * children.
 */
function runScript(step: Step, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn('npm', ['run', '--silent', step.script, '--', ...args], {
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
      env: { ...process.env, CI: 'true' },
    });
    const kill = (): void => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    };
    const timer = setTimeout(() => {
      say(`✗ ${step.name}: no end in ${timeoutMs / minuteMs} minutes`);
      kill();
    }, timeoutMs);
    const end = (): void => {
      kill();
      process.exit(130);
    };
    process.once('SIGINT', end).once('SIGTERM', end);
    const done = (succeeded: boolean): void => {
      clearTimeout(timer);
      process.off('SIGINT', end).off('SIGTERM', end);
      resolve(succeeded);
    };
    child.once('error', () => done(false));
    child.once('exit', (status) => done(status === 0));
  });
}

async function runStep(step: Step, directory: string): Promise<Counts> {
  if (step.vitest !== true) {
    const list = join(directory, `${step.name}.txt`);
    const args = [...(step.args ?? []), ...(step.lists === true ? ['--failures', list] : [])];
    const succeeded = await runScript(step, args);
    const counts = { passed: succeeded ? 1 : 0, failed: succeeded ? 0 : 1 };
    return { ...counts, failures: readLines(list), files: [] };
  }
  const counts = await runVitest(step, directory, []);
  const { files } = counts;
  if (files.length === 0 || files.length > againAtMost) return counts;
  // Real brokers, proxies and clocks on a busy machine: it is told, and does not hide the rest.
  say(`▶ ${step.name}: once more ${files.join(', ')}`);
  const again = await runVitest(step, directory, files);
  const steady = new Set(again.failures);
  return {
    ...again,
    passed: counts.passed + Math.max(0, counts.failed - again.failed),
    unsteady: counts.failures.filter((failure) => !steady.has(failure)),
  };
}

async function runVitest(step: Step, directory: string, files: readonly string[]): Promise<Counts> {
  const file = join(directory, `${step.name}.json`);
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const succeeded = await runScript(step, [...reporters, ...files]);
  const counts = readCounts(file);
  // An error outside of any test, or a process that died, is a failure as well.
  return succeeded || counts.failed > 0 ? counts : { ...counts, failed: 1 };
}

/** None of a file that was not written. */
function readLines(file: string): readonly string[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8').split('\n').filter(Boolean);
}

function readCounts(file: string): Counts {
  let report: unknown;
  try {
    report = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { passed: 0, failed: 0, failures: [], files: [] };
  }
  const failed = listOf(report, 'testResults').filter((ran) => valueOf(ran, 'status') === 'failed');
  const files = failed.map((ran) => relative(process.cwd(), String(valueOf(ran, 'name'))));
  return {
    passed: numberOf(report, 'numPassedTests'),
    failed: numberOf(report, 'numFailedTests') + numberOf(report, 'numPendingTests'),
    failures: failed.flatMap((ran, at) => failuresOf(ran).map((one) => `${files[at]} > ${one}`)),
    files,
  };
}

/** The titles of a file's tests that failed; the error of a file that has no test. */
function failuresOf(ran: unknown): readonly string[] {
  const tests = listOf(ran, 'assertionResults').filter(
    (test) => valueOf(test, 'status') === 'failed',
  );
  if (tests.length > 0) return tests.map((test) => String(valueOf(test, 'fullName')));
  return [String(valueOf(ran, 'message')).split('\n')[0] ?? ''];
}

function valueOf(from: unknown, name: string): unknown {
  const entries = typeof from === 'object' && from !== null ? Object.entries(from) : [];
  return new Map<string, unknown>(entries).get(name);
}

function listOf(from: unknown, name: string): readonly unknown[] {
  const value = valueOf(from, name);
  return Array.isArray(value) ? value : [];
}

function numberOf(from: unknown, name: string): number {
  return Number(valueOf(from, name) ?? 0);
}

/** In the background, behind everything else: the step waits for what is left of it. */
function buildAhead(): void {
  const args = ['-n', '19', process.execPath, join(import.meta.dirname, 'build-ahead.ts')];
  const child = spawn('nice', args, { stdio: ['ignore', 'inherit', 'inherit'], detached: true });
  // The step tries again, and says why.
  child.once('error', () => undefined);
  process.once('exit', () => {
    try {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  });
}

async function main(wanted: readonly string[]): Promise<number> {
  const all = wanted.includes('all');
  const unknown = wanted.filter(
    (name) => name !== 'all' && !steps.some((step) => step.name === name),
  );
  if (unknown.length > 0) {
    say(`no step ${unknown.join(', ')}; there are ${steps.map((step) => step.name).join(', ')}`);
    return 2;
  }
  const chosen = steps.filter(
    ({ name, built }) =>
      all || wanted.includes(name) || (wanted.length === 0 && built === undefined),
  );
  if (chosen.some(({ built }) => built === true)) buildAhead();
  const directory = mkdtempSync(join(tmpdir(), 'watershed-test-'));
  const summary: string[] = [];
  let passed = 0;
  let failed = 0;
  for (const [at, step] of chosen.entries()) {
    say(`▶ ${step.name} (${at + 1} of ${chosen.length})`);
    const startedAt = performance.now();
    const counts = await runStep(step, directory);
    passed += counts.passed;
    failed += counts.failed;
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    const mark = counts.failed === 0 ? '✓' : '✗';
    summary.push(
      `${mark} ${step.name}: ${counts.passed} passed, ${counts.failed} failed, ${seconds} s`,
      ...counts.failures.map((failure) => `    ✗ ${failure}`),
      ...(counts.unsteady ?? []).map((failure) => `    ~ not at the second time: ${failure}`),
    );
    say(summary.at(-1) ?? '');
  }
  rmSync(directory, { recursive: true, force: true });
  say(['', ...summary].join('\n'));
  say(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
