import { expect, it } from 'vitest';
import { CDS, EDS, LDS, World, type Content } from './support.ts';

/** More than views of the past are kept of a scope. */
const flood = 20;

it('a version of before a flood of endpoints is understood by a replica that never sent it', () => {
  const before: Content = {
    [CDS]: { a: '1', b: '1' },
    [EDS]: { a: '1', b: '1' },
    [LDS]: { l: 'b@1' },
  };
  const sent = new World();
  sent.cut(before);
  const [clusters] = sent.sotw().send(CDS, []);

  const other = new World();
  other.cut(before);
  const after = { [CDS]: { a: '1' }, [LDS]: { l: 'a@1' } };
  other.cut({ ...after, [EDS]: { a: '1' } });
  for (let n = 2; n < flood; n++) other.cut({ ...after, [EDS]: { a: String(n) } });
  const back = other.sotw();
  // Its listener still leads to b.
  expect(back.send(CDS, [], { versionInfo: clusters?.version ?? '' }).length).toBe(0);
  back.ack(back.send(EDS, ['a', 'b'])[0], ['a', 'b']);
  const [listeners] = back.send(LDS, [], { versionInfo: 'of long ago' });
  expect(listeners?.names).toEqual(['l']);
  // It may ask for routes, and does not.
  back.ack(listeners);
  other.nowMs += 500;
  expect(back.take().map(({ type, names }) => [type, names])).toEqual([[CDS, ['a']]]);
});

it('the newest views are kept, and of the others one of each set', () => {
  const world = new World();
  const { past } = world.context;
  const cut = (cluster: string, assignment: string): string => {
    const content = { [CDS]: { a: cluster }, [EDS]: { a: assignment } };
    return world.cut(content).types.get(CDS)?.digest ?? '';
  };
  const digests = ['1', '2', '3', '4'].map((cluster) => {
    for (let n = 0; n < flood; n++) cut(cluster, String(n));
    return cut(cluster, 'last');
  });
  for (let n = 0; n < flood; n++) cut(n % 2 === 0 ? '5' : '6', 'last');
  const versionOf = (digest: string) => past.find('s', CDS, digest)?.get('a')?.version;
  expect(digests.map(versionOf)).toEqual(['1', '2', '3', '4']);
  // And what the newest replaced.
  cut('6', 'better');
  const newest = past.lastGood('s', EDS, 'a', new Set());
  const before = past.lastGood('s', EDS, 'a', new Set([newest?.version ?? '']));
  expect(before?.version).not.toBe(newest?.version);
  for (let cluster = 7; cluster < flood; cluster++) cut(String(cluster), 'last');
  expect(digests.map(versionOf)).toEqual([undefined, undefined, undefined, undefined]);
});

it('what was once in quarantine is no last good version', () => {
  const world = new World();
  for (const version of ['1', '2', '3']) world.cut({ [CDS]: { a: version } });
  const { past } = world.context;
  past.refuse('s', CDS, 'a', '2');
  expect(past.lastGood('s', CDS, 'a', new Set(['3']))?.version).toBe('1');
  expect(past.lastGood('s', CDS, 'a', new Set())?.version).toBe('3');
});
