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

/**
 * Why an object of a kind that is not known should be told of; undefined if nobody expects it to
 * be.
 */
export function refusedKind(raw: RawObject): string | undefined {
  if (isOrdinary(groupOf(raw.apiVersion), raw.kind)) return undefined;
  return `the kind ${raw.kind} is not supported; the object has no effect`;
}
