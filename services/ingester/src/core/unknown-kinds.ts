/** Objects that the ingester does not take: which of them are worth a word. */
import type { RawObject } from '../kind.ts';
import { groupOf } from './registry.ts';

/**
 * Kinds of Kubernetes' core group that people keep beside their Services, and that nothing here
 * reads.
 */
const ordinary = new Set([
  'Binding',
  'ComponentStatus',
  'ConfigMap',
  'Endpoints',
  'Event',
  'LimitRange',
  'Namespace',
  'Node',
  'PersistentVolume',
  'PersistentVolumeClaim',
  'Pod',
  'PodTemplate',
  'ReplicationController',
  'ResourceQuota',
  'Secret',
  'Service',
  'ServiceAccount',
]);

/** Kubernetes' own groups without a dot; those with one end with `.k8s.io`. */
const ownGroups = new Set(['apps', 'autoscaling', 'batch', 'extensions', 'policy']);

function isOrdinary(group: string, kind: string): boolean {
  if (group === '') return ordinary.has(kind);
  if (ownGroups.has(group)) return true;
  // The Gateway API has Kubernetes' suffix too; there, a kind that is not known is one that was
  // meant for us.
  return group.endsWith('.k8s.io') && !group.includes('gateway.networking');
}

/** Why an object is not taken; undefined if it is, or if nobody expects it to be. */
export function refusedKind(
  raw: RawObject,
  installed: { readonly apiVersions: readonly string[] } | undefined,
): string | undefined {
  if (installed !== undefined) {
    if (installed.apiVersions.includes(raw.apiVersion)) return undefined;
    return `this version of ${raw.kind} is not supported; use ${installed.apiVersions[0] ?? ''}`;
  }
  if (isOrdinary(groupOf(raw.apiVersion), raw.kind)) return undefined;
  return `the kind ${raw.kind} is not supported; the object has no effect`;
}
