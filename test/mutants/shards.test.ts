/**
 * Shards: whoever owns which partitions, all of them together publish what one process would; and a
 * partition that changes hands brings nobody a byte.
 */
import { expect, test } from 'vitest';
import { createPlans } from '@watershed/translator/assembly/plans.ts';
import { Bed, type Share } from './bed.ts';
import { corpora } from './corpora.ts';

const partitions = 8;

function share(at: number, of: number): Share {
  const all = Array.from({ length: partitions }, (_, partition) => partition);
  return { partitions, owned: all.filter((partition) => partition % of === at) };
}

function union(beds: readonly Bed[]): ReadonlyMap<string, string> {
  return new Map(beds.flatMap((bed) => [...bed.content()]).sort());
}

for (const [at, corpus] of corpora.entries()) {
  test(`three shards publish together what one does alone, also when partitions move (corpus ${at})`, async () => {
    const alone = await Bed.open(createPlans, corpus, undefined, share(0, 1));
    const whole = union([alone]);
    const shards = await Promise.all(
      [0, 1, 2].map((of) => Bed.open(createPlans, corpus, undefined, share(of, 3))),
    );
    expect(union(shards)).toEqual(whole);
    expect(shards.reduce((sum, bed) => sum + bed.endpoints, 0)).toBe(alone.endpoints);
    const [first, second, third] = shards;
    if (first === undefined || second === undefined || third === undefined) throw new Error();
    for (const [partition, from, to] of [
      [0, first, second],
      [1, second, third],
      [0, second, third],
      [3, first, second],
      [0, third, first],
    ] as const) {
      // The new owner's claim comes first: from then on the old one's word is void.
      await to.gain(partition, from);
      await from.lose(partition);
      expect(union(shards)).toEqual(whole);
    }
    for (const bed of [alone, ...shards]) {
      expect(bed.fatal).toEqual([]);
      await bed.close();
    }
  });
}
