/** `npm run cluster`, where its processes end, and where it does. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listens, Shell } from './harness/shell.ts';
import { until } from './harness/wait.ts';

/** For its temporary files alone. */
let temporary = '';
let cluster: Shell;

beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'watershed-command-'));
});

afterEach(async () => {
  await cluster.stop('SIGKILL');
  await rm(temporary, { recursive: true, force: true });
});

function start(options = ''): void {
  cluster = new Shell(`exec npm run cluster -- ${options}`, { TMPDIR: temporary });
}

async function left(): Promise<readonly string[]> {
  return (await readdir(temporary)).filter((name) => name !== 'node-compile-cache');
}

/** Of all its processes, by their names. */
function pids(): ReadonlyMap<string, number> {
  const lines = cluster.output.matchAll(/^(\S+) .*\(pid (\d+)\)$/gmu);
  return new Map([...lines].map(([, name = '', pid]) => [name, Number(pid)]));
}

function kill(name: string, signal: NodeJS.Signals): void {
  const pid = pids().get(name);
  if (pid === undefined) throw new Error(`there is no ${name} in ${cluster.output}`);
  process.kill(pid, signal);
}

test('what ends in npm run cluster is told of and comes back; killed, it leaves nothing', async () => {
  start('--restartDelay 500ms');
  await until('all is ready', () => cluster.output.includes('Ctrl-C stops'), 120_000);
  const before = pids();
  const ports = [...cluster.output.matchAll(/127\.0\.0\.1:(\d+)/gu)].map(([, port]) =>
    Number(port),
  );
  expect([...before.keys()].sort()).toEqual([
    ...['ingester', 'kafka-0', 'pusher-1', 'pusher-2', 'redis', 'translator-1', 'translator-2'],
  ]);
  kill('translator-2', 'SIGKILL');
  kill('redis', 'SIGTERM');
  kill('kafka-0', 'SIGKILL');
  for (const name of ['translator-2', 'redis', 'kafka-0']) {
    const again = `${name} runs again`;
    await until(again, () => cluster.output.includes(again), 60_000);
    expect(pids().get(name)).not.toBe(before.get(name));
  }
  const log = `its log: ${temporary}/watershed-cluster-`;
  expect(cluster.output).toMatch(
    new RegExp(
      `^translator-2 has ended \\(SIGKILL\\); .* 500ms; ${log}\\S+/translator-2.log$`,
      'mu',
    ),
  );
  expect(cluster.output).toMatch(/^redis has ended \(exit code 0\); .*\/redis\.log$/mu);
  expect(cluster.output).toMatch(/^kafka-0 has ended \(SIGKILL\); .*\/kafka-0\.log$/mu);
  for (const name of ['ingester', 'translator-1', 'pusher-1', 'pusher-2']) {
    expect(cluster.output).not.toContain(`${name} has ended`);
  }
  // npm alone, which tells nobody.
  cluster.signal('SIGKILL');
  await cluster.ended;
  await until('nothing is left', async () => (await left()).length === 0);
  expect(await Promise.all([...new Set(ports)].map(listens))).not.toContain(true);
});

test('npm run cluster goes on with all that its --dataDir has, which is its own meanwhile', async () => {
  const data = join(temporary, 'data');
  const log = join(data, 'kafka/node-0/data/config-0/00000000000000000000.log');
  const kept = async () => {
    const [key, ports] = ['sealing.key', 'ports'].map((name) => readFile(join(data, name)));
    return { key: await key, ports: await ports };
  };
  start(`--dataDir ${data}`);
  await until('all is ready', () => cluster.output.includes('Ctrl-C stops'), 120_000);
  const addresses = (): readonly string[] =>
    [...cluster.output.matchAll(/^pusher-\S+ .*?(?= \(pid)/gmu)].map(([line]) => line).sort();
  const [before, at, records] = [await kept(), addresses(), await readFile(log)];
  expect(at).toHaveLength(2);
  expect(records.length).toBeGreaterThan(0);
  const second = new Shell(`exec npm run -s cluster -- --dataDir ${data}`);
  expect([await second.ended, second.output]).toEqual([
    1,
    expect.stringMatching(/^cluster: --dataDir: ".*\/data": it is in use by pid \d+\n/u),
  ]);
  await cluster.stop();
  start(`--dataDir ${data}`);
  await until('all is ready again', () => cluster.output.includes('Ctrl-C stops'), 120_000);
  expect(await kept()).toEqual(before);
  expect(addresses()).toEqual(at);
  const again = await readFile(log);
  expect(again.subarray(0, records.length)).toEqual(records);
  await cluster.stop();
  expect(await left()).toEqual(['data']);
});

test('npm run cluster that is stopped while it starts leaves nothing', async () => {
  start();
  await until(
    'Kafka begins',
    async () =>
      (await readdir(temporary, { recursive: true })).some((name) => /kafka-0/u.test(name)),
    60_000,
  );
  cluster.signal('SIGTERM');
  await cluster.ended;
  expect(await left()).toEqual([]);
});
