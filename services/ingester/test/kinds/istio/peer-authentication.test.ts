/** PeerAuthentications that do not hold, because of others or of where they are. */
import { expect, it } from 'vitest';
import type { RawObject } from '../../../src/kind.ts';
import { Objects } from '../harness.ts';

interface Rest {
  readonly namespace?: string;
  /** Of a month. */
  readonly day?: number;
  readonly app?: string;
}

function peer(name: string, { namespace = 'shop', day, app }: Rest = {}): RawObject {
  const age = day === undefined ? {} : { creationTimestamp: `2026-01-0${day}T00:00:00Z` };
  const selector = app === undefined ? {} : { selector: { matchLabels: { app } } };
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'PeerAuthentication',
    metadata: { name, namespace, ...age },
    spec: { ...selector, mtls: { mode: 'STRICT' } },
  };
}

function told(...peers: readonly RawObject[]): readonly string[] {
  const objects = new Objects();
  for (const one of peers) objects.put(one);
  return objects.problems();
}

const lost = (name: string, winner: string, why: string): string =>
  `PeerAuthentication shop/${name}: warning: spec: has no effect: PeerAuthentication shop/${winner} ` +
  `is for the same workloads, and goes first (${why})`;

it('of two for the same workloads the younger, or the second by name, is told that it has lost', () => {
  expect(told(peer('a', { day: 2 }), peer('b', { day: 1 }))).toEqual([
    lost('a', 'b', 'it is older'),
  ]);
  const byName = lost('b', 'a', 'by namespace and name');
  expect(told(peer('b'), peer('a'))).toEqual([byName]);
  expect(told(peer('b', { app: 'x' }), peer('a', { app: 'x' }))).toEqual([byName]);
});

it.each([
  ['for other workloads', peer('b', { app: 'x' })],
  ['of another namespace', peer('b', { namespace: 'pay' })],
])('one %s takes nothing', (_, other) => {
  expect(told(peer('a'), other)).toEqual([]);
});

it('one of the root namespace is for all workloads of the mesh, and may select none', () => {
  const root = { namespace: 'istio-system' };
  expect(told(peer('a', root))).toEqual([]);
  expect(told(peer('a', { ...root, app: 'x' }))).toEqual([
    'PeerAuthentication istio-system/a: warning: spec.selector: selects nothing: istio-system is the root namespace',
  ]);
});
