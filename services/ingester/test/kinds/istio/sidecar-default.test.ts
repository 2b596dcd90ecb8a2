/** Of two Sidecars for all workloads of a namespace, the one without effect. */
import { describe, expect, it } from 'vitest';
import { sidecar, world } from './sidecars.ts';

describe('of two Sidecars for all workloads of a namespace', () => {
  const lost = (name: string, winner: string, why: string): string =>
    `Sidecar shop/${name}: warning: spec.workloadSelector: selects every workload of namespace shop, ` +
    `as that of Sidecar shop/${winner} does, which goes first (${why}): this one has no effect`;
  const byName = 'by namespace and name';

  it('the younger one is told that it has no effect, else the second by name', () => {
    expect(world(sidecar('a', { day: 2 }), sidecar('b', { day: 1 })).problems()).toEqual([
      lost('a', 'b', 'it is older'),
    ]);
    const first = sidecar('a');
    const objects = world(sidecar('c'), first, sidecar('b'));
    expect(objects.problems()).toEqual([lost('c', 'a', byName), lost('b', 'a', byName)]);
    objects.remove(first);
    expect(objects.problems()).toEqual([lost('c', 'b', byName)]);
  });

  it('neither is told of anything where one selects some, or is of another namespace', () => {
    const some = sidecar('b', { workloadSelector: { labels: { app: 'web' } } });
    expect(world(sidecar('c'), some, sidecar('a', { namespace: 'pay' })).problems()).toEqual([]);
  });
});
