import { Node } from '@watershed/proto/envoy/config/core/v3/base.ts';
import { parseNode, scopeOf } from '../../src/node-scope.ts';
import { node } from './client.ts';

/** The scope of a node, by what selectors say. */
export function scopeOfNode(
  of: { id: string; metadata: Record<string, unknown> } = node(),
  selectors = { labelKeys: [] as string[], locality: false },
): ReturnType<typeof scopeOf> {
  return scopeOf(parseNode(Node.encode(Node.fromPartial(of)).finish()), selectors);
}
