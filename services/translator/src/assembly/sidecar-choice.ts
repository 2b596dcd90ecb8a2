/** Which Sidecar holds for a client. */
import type { Reader } from '@watershed/derive/graph.ts';
import type { Scope } from '@watershed/model/gen/model.ts';
import type { Inputs, Keyed } from '../inputs.ts';
import { selects } from './policies.ts';

type Labels = Readonly<Record<string, string>>;

/**
 * Its config key: one that selects the workload, else the namespace's, else the root namespace's;
 * the oldest of each. '' for none.
 */
export function chooseSidecar(
  inputs: Inputs,
  read: Reader,
  client: { readonly namespace: string; readonly labels: Labels },
  rootNamespace: string,
): string {
  const of = (namespace: string): readonly Keyed<Scope>[] =>
    read
      .lookup(inputs.indexes.scopesByNamespace, namespace)
      .map((entry) => entry.value)
      .sort(byAge);
  const isDefault = (scope: Keyed<Scope>): boolean =>
    Object.keys(scope.value.workloadSelector).length === 0;
  const own = of(client.namespace);
  const chosen =
    own.find(
      (scope) => !isDefault(scope) && selects(scope.value.workloadSelector, client.labels),
    ) ??
    own.find(isDefault) ??
    of(rootNamespace).find(isDefault);
  return chosen?.key ?? '';
}

/** The oldest first, then by key. */
function byAge(
  a: { readonly key: string; readonly value: { readonly createdMs: number } },
  b: { readonly key: string; readonly value: { readonly createdMs: number } },
): number {
  if (a.value.createdMs !== b.value.createdMs) return a.value.createdMs - b.value.createdMs;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}
