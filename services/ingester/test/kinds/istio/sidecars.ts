/** Sidecars and what is beside them, for tests of what is said of them. */
import type { RawObject } from '../../../src/kind.ts';
import { Objects } from '../harness.ts';

interface Rest {
  readonly namespace?: string;
  /** Of a month. */
  readonly day?: number;
  readonly [field: string]: unknown;
}

export function sidecar(name: string, rest: Rest = {}): RawObject {
  const { namespace = 'shop', day, ...spec } = rest;
  const age = day === undefined ? {} : { creationTimestamp: `2026-01-0${day}T00:00:00Z` };
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name, namespace, ...age },
    spec: { egress: [{ hosts: ['*/*'] }], ...spec },
  };
}

export function world(...objects: readonly RawObject[]): Objects {
  const all = new Objects();
  for (const one of objects) all.put(one);
  return all;
}
