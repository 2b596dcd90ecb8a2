/** What people run from a checkout, where it ends before anything has begun. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const commands = [
  ['cluster', 'cli/src/cluster.ts'],
  ['demo', 'cli/src/demo.ts'],
  ['faults', 'test/faults/main.ts'],
  ['sim', 'test/sim/main.ts'],
] as const;

let temporary = '';

beforeAll(() => {
  temporary = mkdtempSync(join(tmpdir(), 'watershed-commands-'));
});

afterAll(() => {
  rmSync(temporary, { recursive: true, force: true });
});

/** Its end, with what is left in a directory for temporary files of its own. */
function run(file: string, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, file), ...args], {
    encoding: 'utf8',
    env: { ...process.env, TMPDIR: temporary },
  });
  const left = readdirSync(temporary).filter((name) => name !== 'node-compile-cache');
  return { status, stdout, stderr, left };
}

test.each(commands)(
  'npm run %s says what is wrong with its options, and how to ask',
  (name, file) => {
    expect(run(file, '--hlep')).toEqual({
      status: 1,
      stdout: '',
      stderr:
        `${name}: unknown option '--hlep' (Did you mean --help?)\n` +
        `${name}: \`npm run ${name} -- --help\` lists the options\n`,
      left: [],
    });
  },
);

test.each(commands)('npm run %s -- --help lists its options, and runs nothing', (name, file) => {
  const { status, stdout, stderr, left } = run(file, '--help');
  expect([status, stderr, left]).toEqual([0, '', []]);
  expect(stdout).toMatch(new RegExp(`^Usage: npm run ${name} -- \\[options\\]\n`, 'u'));
});

test('numbers are looked at before anything starts', () => {
  expect(run('test/sim/main.ts', '--seed', 'x').stderr).toContain(
    '--seed: "x": not a whole number',
  );
});

test('names of faults are looked at before anything starts', () => {
  const { status, stderr } = run('test/faults/main.ts', '--only', 'moon');
  expect([status, stderr]).toEqual([
    1,
    expect.stringContaining('--only: "moon": no fault is named so'),
  ]);
});

test('npm run cluster looks for its directory of configuration before anything starts', () => {
  const { status, stdout, stderr, left } = run('cli/src/cluster.ts', '--config-dir', 'none');
  expect([status, stdout, left]).toEqual([1, '', []]);
  expect(stderr).toContain('cluster: --configDir: "none": ENOENT: no such file or directory');
});

test('a command whose npm is killed ends', async () => {
  const npm = spawn('sh', ['-c', `"${process.execPath}" test/sim/main.ts --seconds 60; true`], {
    cwd: root,
    env: { ...process.env, npm_lifecycle_event: 'sim' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const closed = once(npm.stdout, 'close');
  await once(npm.stdout, 'data');
  npm.kill('SIGKILL');
  // Whoever still runs keeps it open.
  await closed;
});
