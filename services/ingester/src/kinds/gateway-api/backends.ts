/** Backends of a rule, with their references checked. What cannot be used answers its share with 500. */
import type { Reader } from '@watershed/derive/graph.ts';
import { Backend, HeaderOps } from '@watershed/model/gen/model.ts';
import type { World } from '../../kind.ts';
import { butRefused, whyAbsent } from '../common/absent.ts';
import { isAuthorityHeader } from '../common/headers.ts';
import { canonicalHost, serviceHost, sortedSet } from '../common/hosts.ts';
import { hasPort } from '../core/service-spec.ts';
import { serviceKind } from '../core/service.ts';
import { hostIndex, serviceEntryKind } from '../istio/service-entry.ts';
import { group } from './fields.ts';
import { isGranted, referenceGrantKind } from './reference-grant.ts';
import type { BackendReference, Header, HeaderModifier } from './route-filters.ts';

const blankBackend = Backend.create();
const blankHeaders = HeaderOps.create();

/**
 * The host and port of a reference of a route in the namespace; `invalid` says why it cannot be
 * used.
 */
export function resolveBackend(
  read: Reader,
  world: World,
  reference: BackendReference,
  own: string,
): Backend {
  const { kind, name } = reference;
  const port = reference.port ?? 0;
  const invalid = (reason: string): Backend => ({ ...blankBackend, port, invalid: reason });
  if (reference.group === 'networking.istio.io' && kind === 'Hostname') {
    return toHostname(read, world, reference, own);
  }
  if (reference.group !== '' || kind !== 'Service') {
    const shown = reference.group === '' ? kind : `${kind} of ${reference.group}`;
    return invalid(`backends of kind ${shown} are not supported`);
  }
  const namespace = reference.namespace ?? own;
  const from = { group, kind: 'HTTPRoute', namespace: own };
  if (!isGranted(read, world, from, { group: '', kind, namespace, name })) {
    const refused = butRefused(world.refused(read, referenceGrantKind, `${namespace}/`));
    return invalid(`no ReferenceGrant of namespace ${namespace} allows Service ${name}${refused}`);
  }
  const key = `${namespace}/${name}`;
  const service = read.get(world.objects(serviceKind), key);
  if (service === undefined) return invalid(whyAbsent(read, world, serviceKind, key));
  if (!hasPort(service.spec, port)) {
    return invalid(`Service ${key} has no port ${port}`);
  }
  return { ...blankBackend, host: serviceHost(name, namespace, world.settings.domain), port };
}

/** Istio's way to name a host of a ServiceEntry. */
function toHostname(read: Reader, world: World, reference: BackendReference, own: string): Backend {
  const port = reference.port ?? 0;
  const host = canonicalHost(reference.name);
  const invalid = (reason: string): Backend => ({ ...blankBackend, port, invalid: reason });
  if (reference.namespace !== undefined) return invalid('a Hostname is of no namespace');
  if (port === 0) return invalid(`Hostname ${host} needs a port`);
  const entries = read.lookup(world.index(serviceEntryKind, hostIndex), host);
  const visible = entries.some(({ value: { spec, ref } }) => {
    const exported = spec.exportTo.length === 0 ? ['*'] : spec.exportTo;
    return ref.namespace === own || exported.includes('*') || exported.includes(own);
  });
  if (!visible) {
    const refused = butRefused(world.refused(read, serviceEntryKind, host));
    const isHidden = entries.length > 0 && refused === '';
    return invalid(
      isHidden
        ? `no ServiceEntry of host ${host} is exported to namespace ${own}`
        : `no ServiceEntry has host ${host}${refused}`,
    );
  }
  return { ...blankBackend, host, port };
}

/** Of names that are equal but for case, the first counts; the host is a rewrite and not a header. */
export function headerOps(from: HeaderModifier | undefined): HeaderOps | undefined {
  if (from === undefined) return undefined;
  const firsts = (headers: readonly Header[]): Record<string, string> => {
    const entries = headers
      .filter(({ name }) => !isAuthorityHeader(name))
      .map(({ name, value }): [string, string] => [name.toLowerCase(), value]);
    return Object.fromEntries(entries.reverse());
  };
  const set = firsts(from.set);
  const add = firsts(from.add);
  const remove = sortedSet(
    from.remove.filter((name) => !isAuthorityHeader(name)).map((name) => name.toLowerCase()),
  );
  const count = Object.keys(set).length + Object.keys(add).length + remove.length;
  return count === 0 ? undefined : { ...blankHeaders, set, add, remove };
}

/** What a modifier makes of the Host; empty: nothing. */
export function authorityOf(from: HeaderModifier | undefined): string {
  const all = [...(from?.set ?? []), ...(from?.add ?? [])];
  return all.find(({ name }) => isAuthorityHeader(name))?.value ?? '';
}
