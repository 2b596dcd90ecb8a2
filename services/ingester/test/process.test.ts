/** An ingester as users start it: options, one process, signals. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseOptions } from '@watershed/runtime/options-parse.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { program } from '../src/config.ts';
import { service } from './support.ts';

const main = join(import.meta.dirname, '..', 'src', 'main.ts');

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'process-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const parse = (argv: readonly string[], environment: Record<string, string> = {}) =>
  parseOptions(program, { argv, environment });

test('nothing to read, and two kinds of keys, are errors that name the options', () => {
  expect(() => parse([])).toThrow('--configDir: nothing to read');
  expect(() =>
    parse(['--configDir', 'x', '--sealingKeyFile', 'y'], { WATERSHED_SEALING_KEY: 'z' }),
  ).toThrow('WATERSHED_SEALING_KEY: not together with --sealingKeyFile');
});

test('the environment and flags are read as istiod spells them', () => {
  const environment = { CLUSTER_ID: 'east', WATERSHED_KAFKA_BROKERS: 'kafka:9092' };
  const parsed = parse(['--meshConfig', 'mesh.yaml'], environment);
  expect(parsed).toMatchObject({
    kind: 'run',
    config: {
      meshConfig: 'mesh.yaml',
      clusterId: 'east',
      partitions: 64,
      kafkaBrokers: ['kafka:9092'],
    },
  });
});

test.each([
  [['--configDir', 'a', '--config-dir', 'b'], {}],
  [[], { WATERSHED_CONFIG_DIR: 'a,b' }],
])('several directories are read: %j %j', (argv, environment) => {
  const parsed = parse([...argv, '--kafkaBrokers', 'kafka:9092'], environment);
  expect(parsed).toMatchObject({ config: { configDirs: ['a', 'b'] } });
});

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** Runs it until a line of its log matches, then stops it in order. */
async function runUntil(argv: readonly string[], pattern: RegExp): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '' },
  });
  let output = '';
  let told = false;
  const hear = (chunk: Buffer): void => {
    output += chunk.toString();
    // Once: a second signal would end it at once.
    if (!told && pattern.test(output)) told = child.kill('SIGTERM');
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  return { code: typeof code === 'number' ? code : null, output };
}

test('without its log it says what it waits for, and stops on a signal', async () => {
  const config = join(folder, 'config');
  const data = join(folder, 'data');
  await mkdir(config);
  await writeFile(join(config, 'a.yaml'), service('cart') + service('shop', 99_999));
  const argv = ['--configDir', config, '--dataDir', data, '--monitoringAddr', '127.0.0.1:0'];
  argv.push('--kafkaBrokers', '127.0.0.1:1');
  const { code, output } = await runUntil(argv, /cannot reach any broker of 127\.0\.0\.1:1/u);
  expect(output).toMatch(/the log/u);
  expect(code).toBe(0);
  expect((await stat(join(data, 'sealing.key'))).mode & 0o777).toBe(0o600);
}, 90_000);
