import { GatewayParent } from '@watershed/model/gen/model.ts';
import type { Parent } from '@watershed/model/gen/model.ts';
import type { At } from '../../decode.ts';
import { checkHost } from '../common/checks.ts';
import { byCodeUnit, isDnsLabel } from '../common/hosts.ts';

/** The name that stands for all sidecars. */
export const meshGateway = 'mesh';

const blankParent = GatewayParent.create();

/** `name`, `namespace/name`, or the old `name.namespace.svc.cluster.local`. */
export function checkGatewayNames(at: At, names: readonly string[]): void {
  for (const [index, name] of names.entries()) {
    const item = at.item(index);
    const slash = name.indexOf('/');
    if (slash < 0) {
      checkHost(item, name);
      const [gateway, namespace] = name.split('.');
      if (namespace === undefined) continue;
      item.warn(name, `is an old form; write ${JSON.stringify(`${namespace}/${gateway}`)}`);
    } else {
      const namespace = name.slice(0, slash);
      if (namespace !== '.' && !isDnsLabel(namespace)) {
        item.error(name, 'must start with "." or the name of a namespace, before "/"');
      }
      if (!isDnsLabel(name.slice(slash + 1))) {
        item.error(name, 'must end with the name of a gateway, after "/"');
      }
    }
  }
}

/**
 * `namespace/name` of a gateway as an object of the namespace names it (istiod's
 * resolveGatewayName).
 */
function gatewayOf(name: string, namespace: string): { namespace: string; name: string } {
  const slash = name.indexOf('/');
  if (slash >= 0) {
    const given = name.slice(0, slash);
    return { namespace: given === '.' ? namespace : given, name: name.slice(slash + 1) };
  }
  const [gateway = '', given] = name.split('.');
  return { namespace: given ?? namespace, name: gateway };
}

export function parentOf(name: string, namespace: string): Parent {
  if (name === meshGateway) return { to: { $case: 'mesh', value: true } };
  const gateway = gatewayOf(name, namespace);
  return { to: { $case: 'gateway', value: { ...blankParent, ...gateway } } };
}

/** The mesh first, then gateways by namespace and name; each once. */
export function sortedParents(parents: readonly Parent[]): Parent[] {
  const byId = new Map(parents.map((parent) => [parentId(parent), parent]));
  return [...byId].sort(([a], [b]) => byCodeUnit(a, b)).map(([, parent]) => parent);
}

function parentId({ to }: Parent): string {
  switch (to?.$case) {
    case 'mesh':
      return '0';
    case 'gateway':
      return `1|${to.value.namespace}|${to.value.name}|${to.value.listener}|${to.value.hosts.join()}`;
    case 'serviceHost':
      return `2|${to.value}`;
    case undefined:
      return '';
  }
}

/** In full form: `mesh`, or `namespace/name`. */
export function gatewayName(name: string, from: string): string {
  if (name === meshGateway) return name;
  const gateway = gatewayOf(name, from);
  return `${gateway.namespace}/${gateway.name}`;
}
