import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { expect, test } from 'vitest';
import { supervise } from '../src/cluster/supervisor.ts';
import type { Exit } from '../src/components/child.ts';
import type { ClusterProcess } from '../src/components/cluster-process.ts';

/** A process that ends when it is told to. */
class FakeProcess implements ClusterProcess {
  readonly name = 'translator-1';
  readonly logFile = '/logs/translator-1.log';
  pid = 1;
  #run = Promise.withResolvers<Exit>();
  /** What its next start fails with. */
  failure: Error | undefined;

  get ended(): Promise<Exit> {
    return this.#run.promise;
  }

  async start(): Promise<void> {
    this.pid += 1;
    this.#run = Promise.withResolvers<Exit>();
    const { failure } = this;
    this.failure = undefined;
    if (failure === undefined) return;
    this.end({ status: 1, signal: null });
    throw failure;
  }

  end(exit: Exit): void {
    this.#run.resolve(exit);
  }
}

function supervised(delayMs = 5_000) {
  const time = new VirtualTime();
  const child = new FakeProcess();
  const lines: string[] = [];
  const stopping = new AbortController();
  const { signal } = stopping;
  const say = (line: string): void => void lines.push(line);
  const done = supervise(child, { delayMs, time, say, signal });
  return { time, child, lines, stopping, done };
}

const killed: Exit = { status: null, signal: 'SIGKILL' };
const log = 'its log: /logs/translator-1.log';

test('what has ended is told of, with why and its log, and is started again after a while', async () => {
  const { time, child, lines } = supervised();
  await time.advance(1_000);
  child.end(killed);
  await time.advance(4_999);
  expect(lines).toEqual([`translator-1 has ended (SIGKILL); it is started again in 5s; ${log}`]);
  await time.advance(1);
  expect(lines.slice(1)).toEqual(['translator-1 runs again (pid 2)']);
});

test('what ends again and again is started less and less often, and as at first once it has run', async () => {
  const { time, child, lines } = supervised();
  for (let round = 0; round < 6; round++) {
    await time.advance(1_000);
    child.end({ status: 3, signal: null });
    while (child.pid < round + 2) await time.advance(1_000);
  }
  await time.advance(10_000);
  child.end(killed);
  await time.advance(0);
  const ends = lines.filter((line) => line.includes('has ended'));
  expect(ends.map((line) => /\((.*)\).* in (\w+);/u.exec(line)?.slice(1).join(': '))).toEqual([
    ...['exit code 3: 5s', 'exit code 3: 10s', 'exit code 3: 20s', 'exit code 3: 40s'],
    ...['exit code 3: 1m', 'exit code 3: 1m', 'SIGKILL: 5s'],
  ]);
});

test('what cannot be started is told of in a line, and tried again', async () => {
  const { time, child, lines } = supervised();
  await time.advance(0);
  child.failure = new Error('kafka-0 did not start:\nmore');
  child.end(killed);
  await time.advance(5_000);
  expect(lines.slice(1)).toEqual([
    'translator-1 is not well: kafka-0 did not start:',
    `translator-1 has ended (exit code 1); it is started again in 10s; ${log}`,
  ]);
  await time.advance(10_000);
  expect(lines.at(-1)).toBe('translator-1 runs again (pid 3)');
});

test('what ends when all of it is stopped is not told of, nor started again', async () => {
  const { time, child, lines, stopping, done } = supervised();
  child.end(killed);
  await time.advance(2_000);
  stopping.abort();
  await done;
  expect([child.pid, lines.length, time.pending]).toEqual([1, 1, 0]);
  const other = supervised();
  other.stopping.abort();
  other.child.end(killed);
  await other.done;
  expect(other.lines).toEqual([]);
});
