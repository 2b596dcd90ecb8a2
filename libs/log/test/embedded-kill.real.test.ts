import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { openEmbeddedLog } from '../src/embedded.ts';
import { Fold } from '../src/fold.ts';
import type { LogRecord, Position } from '../src/port.ts';
import { readAll, realTime, seeded, sleep, textOf } from './support.ts';

const lives = 9;

interface Said {
  readonly epoch?: number;
  readonly call?: string;
  readonly count?: number;
  readonly done?: string;
  readonly at?: readonly (readonly [number, number])[];
  readonly key?: string;
  readonly number?: number;
  readonly gone?: boolean;
  readonly set?: string;
}

/** What the writers said: what they began, and what was acknowledged. */
class Ledger {
  readonly epochs: number[] = [];
  readonly counts = new Map<string, number>();
  readonly done = new Map<string, readonly (readonly [number, number])[]>();
  /**
   * Per key: all values that were begun (`undefined`: a deletion), and the last acknowledged one's
   * number.
   */
  readonly begun = new Map<string, Map<number, string | undefined>>();
  readonly acknowledged = new Map<string, number>();

  take(line: string): void {
    const said = JSON.parse(line) as Said;
    if (said.epoch !== undefined) this.epochs.push(said.epoch);
    if (said.call !== undefined) this.counts.set(said.call, said.count!);
    if (said.done !== undefined) this.done.set(said.done, said.at!);
    if (said.key !== undefined) {
      const values = this.begun.get(said.key) ?? new Map<number, string | undefined>();
      values.set(said.number!, said.gone === true ? undefined : String(said.number));
      this.begun.set(said.key, values);
    }
    if (said.set !== undefined) {
      this.acknowledged.set(said.set, Math.max(said.number!, this.acknowledged.get(said.set) ?? 0));
    }
  }
}

async function liveAndDie(
  dir: string,
  life: number,
  afterCalls: number,
  ledger: Ledger,
): Promise<void> {
  const script = fileURLToPath(import.meta.resolve('./kill-writer.ts'));
  const child = spawn(process.execPath, [script, dir, String(life)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const epochs = ledger.epochs.length;
  const last = (async () => {
    // A line that the kill cut off acknowledges nothing.
    for await (const line of lines) if (line.endsWith('}')) ledger.take(line);
  })();
  const calls = ledger.done.size + afterCalls;
  const lives = (): boolean => ledger.epochs.length === epochs || ledger.done.size < calls;
  while (lives() && child.exitCode === null) await sleep(2);
  child.kill('SIGKILL');
  expect(await exited).toEqual([null, 'SIGKILL']);
  await last;
}

function check(ledger: Ledger, partitions: readonly (readonly LogRecord[])[], fold: Fold): void {
  const found = new Map<string, number>();
  for (const records of partitions) {
    const offsets = records.map(({ offset }) => offset);
    expect(offsets).toEqual(offsets.map((_, index) => index));
    for (const { key, value } of records) {
      const [call = ''] = key.split('/');
      found.set(call, (found.get(call) ?? 0) + 1);
      expect(textOf(value)?.replaceAll(`${call}:`, '')).toBe('');
    }
  }
  // Nothing is torn: a call is there with all its records, or with none.
  for (const [call, count] of found) expect([call, count]).toEqual([call, ledger.counts.get(call)]);
  for (const [call, at] of ledger.done) {
    for (const [index, [partition, offset]] of at.entries()) {
      expect(partitions[partition]?.[offset]?.key).toBe(`${call}/${index}`);
    }
  }
  for (const [key, values] of ledger.begun) {
    const since = ledger.acknowledged.get(key) ?? 0;
    const allowed = [...values].filter(([number]) => number >= since).map(([, value]) => value);
    if (since === 0) allowed.push(undefined);
    expect(allowed).toContain(textOf(fold.get(key)));
  }
}

it.each([97, 98, 99])(
  'loses and tears nothing when its process is killed, again and again (seed %i)',
  async (seed) => {
    const dir = await mkdtemp(join(tmpdir(), 'watershed-kill-'));
    const random = seeded(seed);
    const ledger = new Ledger();
    const fold = new Fold();
    let position: Position | undefined;
    let ids: readonly string[] | undefined;
    try {
      for (let life = 0; life < lives; life++) {
        await liveAndDie(dir, life, 1 + random(40), ledger);
        const log = await openEmbeddedLog({ dir, time: realTime });
        const zero = await readAll(log, 'calls', 0);
        const one = await readAll(log, 'calls', 1);
        const fresh = new Fold();
        for (const batch of (await readAll(log, 'keyed')).batches) fresh.apply(batch);
        check(ledger, [zero.records, one.records], fresh);
        // Positions hold over the lives, and who goes on from one ends where who begins anew does.
        const rest = await readAll(log, 'calls', 0, position);
        expect(rest.reset).toBe(position === undefined ? 'no-position' : undefined);
        expect(rest.records).toEqual(zero.records.slice(position?.offset ?? 0));
        position = rest.position;
        const keyed = await readAll(log, 'keyed', 0, fold.position);
        for (const batch of keyed.batches) fold.apply(batch);
        expect(new Map(fold.entries())).toEqual(new Map(fresh.entries()));
        const topicIds = [zero.position.topicId, fresh.position!.topicId];
        expect(topicIds).toEqual(ids ?? topicIds);
        ids = topicIds;
        await log.close();
      }
      expect(ledger.epochs).toEqual([...ledger.epochs].sort((a, b) => a - b));
      expect(new Set(ledger.epochs).size).toBe(lives);
      expect(ledger.done.size).toBeGreaterThan(lives * 5);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  },
);
