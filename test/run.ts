/**
 * `npm test`: everything that CI runs, one step after the other, and as the last line
 * `N passed, N failed`. `node test/run.ts lint fast` runs only these steps.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Counts {
  readonly passed: number;
  readonly failed: number;
}

interface Step {
  readonly name: string;
  /** An npm script of the root package. */
  readonly script: string;
  /** Its tests are counted one by one; any other step counts as one. */
  readonly vitest?: true;
  readonly timeoutMs: number;
}

const minuteMs = 60_000;

const steps: readonly Step[] = [
  { name: 'typecheck', script: 'typecheck', timeoutMs: 5 * minuteMs },
  { name: 'lint', script: 'lint', timeoutMs: 5 * minuteMs },
  { name: 'format', script: 'format:check', timeoutMs: 5 * minuteMs },
  { name: 'deadcode', script: 'deadcode', timeoutMs: 5 * minuteMs },
  { name: 'proto', script: 'proto:check', timeoutMs: 10 * minuteMs },
  { name: 'fast', script: 'test:fast', vitest: true, timeoutMs: 10 * minuteMs },
  { name: 'real', script: 'test:real', vitest: true, timeoutMs: 45 * minuteMs },
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
      say(`✗ ${step.name}: no end in ${step.timeoutMs / minuteMs} minutes`);
      kill();
    }, step.timeoutMs);
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
    return (await runScript(step, [])) ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  }
  const file = join(directory, `${step.name}.json`);
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const succeeded = await runScript(step, reporters);
  const counts = readCounts(file);
  // An error outside of any test, or a process that died, is a failure as well.
  return succeeded || counts.failed > 0 ? counts : { passed: counts.passed, failed: 1 };
}

function readCounts(file: string): Counts {
  try {
    const report: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return {
      passed: numberOf(report, 'numPassedTests'),
      failed: numberOf(report, 'numFailedTests') + numberOf(report, 'numPendingTests'),
    };
  } catch {
    return { passed: 0, failed: 0 };
  }
}

function numberOf(report: unknown, name: string): number {
  const entries = typeof report === 'object' && report !== null ? Object.entries(report) : [];
  return Number(new Map<string, unknown>(entries).get(name) ?? 0);
}

async function main(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.filter((name) => !steps.some((step) => step.name === name));
  if (unknown.length > 0) {
    say(`no step ${unknown.join(', ')}; there are ${steps.map((step) => step.name).join(', ')}`);
    return 2;
  }
  const chosen = steps.filter((step) => wanted.length === 0 || wanted.includes(step.name));
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
    );
    say(summary.at(-1) ?? '');
  }
  rmSync(directory, { recursive: true, force: true });
  say(['', ...summary].join('\n'));
  say(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
