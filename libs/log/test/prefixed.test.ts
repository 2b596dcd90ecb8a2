import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openEmbeddedLog } from '../src/embedded.ts';
import { prefixed } from '../src/prefixed.ts';
import { brief, bytes, readAll, realTime } from './support.ts';

test('who shares a log under prefixes has topics of its own', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'watershed-prefixed-'));
  const whole = await openEmbeddedLog({ dir, time: realTime });
  const [one, other] = ['one.', 'other.'].map((prefix) => prefixed(prefix, whole));
  const retention = { kind: 'compact', tombstoneMs: 1_000 } as const;
  for (const [at, log] of [one!, other!].entries()) {
    await log.ensureTopics([{ name: 't', partitions: 1, retention }]);
    await log.append([{ topic: 't', partition: 0, key: 'k', value: bytes(`${at}`) }]);
  }
  expect(brief((await readAll(one!, 't')).records)).toEqual(['k=0']);
  expect(brief((await readAll(other!, 't')).records)).toEqual(['k=1']);
  expect(brief((await readAll(whole, 'other.t')).records)).toEqual(['k=1']);
  expect((await one!.end('t', 0)).offset).toBe(1);
  expect(prefixed('', whole)).toBe(whole);
  await one!.close();
  await expect(whole.end('one.t', 0)).rejects.toMatchObject({ code: 'closed' });
  await rm(dir, { recursive: true });
});
