/**
 * Pods and Nodes that a slice names and that were refused: its endpoints lack what these say of
 * them. That one is not there is nobody's mistake: who writes slices may keep neither.
 */
import type { Reader } from '@watershed/derive/graph.ts';
import { show } from '../../decode.ts';
import type { ObjectRef, Problem, SourceObject, World } from '../../kind.ts';
import { wasRefused } from '../common/absent.ts';
import { maxTold } from '../common/told.ts';
import type { SliceSpec } from './endpoint-slice-spec.ts';
import { nodeKind } from './node.ts';
import { podKind } from './pod.ts';

export function refusedBehind(
  read: Reader,
  world: World,
  { ref, spec }: SourceObject<SliceSpec>,
): readonly Problem[] {
  // Of all at once: that none was refused is one read for a slice of many endpoints.
  const pods = world.refused(read, podKind, `${ref.namespace}/`);
  const nodes = world.refused(read, nodeKind, '/');
  if (pods.length === 0 && nodes.length === 0) return [];
  const problems: Problem[] = [];
  const tell = (field: string, name: string, refused: readonly ObjectRef[], lost: string): void => {
    const found = refused.filter((one) => one.name === name);
    if (found.length === 0) return;
    const reason = `${wasRefused(found)}: the endpoint has no ${lost} of it`;
    problems.push({ severity: 'warning', field, value: show(name), reason });
  };
  for (const [index, { pod, nodeName }] of spec.endpoints.entries()) {
    const at = `endpoints[${index}]`;
    tell(`${at}.targetRef`, pod, pods, 'labels and no service account');
    tell(`${at}.nodeName`, nodeName, nodes, 'locality');
  }
  return problems.slice(0, maxTold);
}
