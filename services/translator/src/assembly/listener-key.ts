/**
 * Which listener, made of which inputs. A listener of HTTP alone is the same for all clients; one
 * of a single service depends on that service and its policies; one that services share depends on
 * the whole view.
 */
import { resourceTypes } from '@watershed/proto/any.ts';
import { OutboundMode } from '@watershed/model/gen/model.ts';
import type { Streams } from '../generators/config-source.ts';
import type { ResourceKey } from '../plan.ts';
import type { LayoutKey } from './outbound.ts';
import type { ListenerSpec } from './outbound-layout.ts';
import { streamsFrom } from './own-streams.ts';
import type { VisibleService } from './visibility.ts';
import { decodeVariant, encodeVariant, field } from './variant.ts';

export type ListenerKey = HttpListenerKey | ServiceListenerKey | SharedListenerKey;

interface Common {
  readonly mesh: string;
  /** A Sidecar's own mode; `undefined`: the mesh's. */
  readonly mode: OutboundMode | undefined;
  readonly bindToPort: boolean;
  readonly streams: Streams;
}

export interface HttpListenerKey extends Common {
  readonly kind: 'http';
  readonly plainHttp: boolean;
}

export interface ServiceListenerKey extends Common {
  readonly kind: 'service';
  readonly service: VisibleService;
  readonly clusterPort: number;
  /** Sniffed: HTTP to the service has a table of its own. */
  readonly auto: boolean;
  /** Keys of the policies that hold for it. */
  readonly policies: string;
}

export interface SharedListenerKey extends Common {
  readonly kind: 'layout';
  readonly layout: LayoutKey;
  /** Policy class. */
  readonly policies: string;
}

/** The service that a listener is of, where it is of one alone, at an address of its own. */
export function ownService(
  spec: ListenerSpec,
): { readonly service: VisibleService; readonly port: number; readonly auto: boolean } | undefined {
  if (spec.address === '0.0.0.0' || spec.conflicts.length > 0) return undefined;
  const [tcp, http, ...more] = spec.chains;
  if (tcp?.kind !== 'tcp' || tcp.sni.length > 0 || tcp.cidrs.length > 0) return undefined;
  const { service, port } = tcp;
  if (http === undefined) return { service, port, auto: false };
  if (more.length > 0 || http.kind !== 'http' || http.host !== service.host) return undefined;
  return { service, port, auto: true };
}

/** Whether a listener is the usual one of HTTP on a port. */
export function isPlainHttp({ chains, port, conflicts }: ListenerSpec): boolean {
  const [chain, ...more] = chains;
  if (chain?.kind !== 'http' || more.length > 0 || conflicts.length > 0) return false;
  return chain.routes === String(port) && chain.host === '' && !chain.grpcWeb;
}

function modeText(mode: OutboundMode | undefined): string {
  if (mode === undefined) return '';
  return mode === OutboundMode.OUTBOUND_MODE_ALLOW_ANY ? 'any' : 'registry';
}

function modeFrom(text: string): OutboundMode | undefined {
  if (text === '') return undefined;
  return text === 'any'
    ? OutboundMode.OUTBOUND_MODE_ALLOW_ANY
    : OutboundMode.OUTBOUND_MODE_REGISTRY_ONLY;
}

export function listenerResource(name: string, key: ListenerKey): ResourceKey {
  const common = {
    m: key.mesh,
    o: modeText(key.mode),
    b: key.bindToPort ? '1' : '',
    e: key.streams,
  };
  return {
    typeUrl: resourceTypes.listener,
    name,
    variant: encodeVariant({ ...own(key), ...common }),
  };
}

function own(key: ListenerKey): Readonly<Record<string, string>> {
  switch (key.kind) {
    case 'http':
      return { k: 'h', i: key.plainHttp ? '1' : '' };
    case 'service':
      return {
        k: 's',
        h: key.service.host,
        s: key.service.ref,
        n: String(key.clusterPort),
        a: key.auto ? '1' : '',
        p: key.policies,
      };
    case 'layout':
      return {
        k: 'l',
        v: key.layout.view,
        c: key.layout.cluster,
        d: key.layout.direct ? '1' : '',
        p: key.policies,
      };
  }
}

/** `undefined`: not an outbound listener's variant. */
export function parseListener(variant: string): ListenerKey | undefined {
  const fields = decodeVariant(variant);
  const mesh = field(fields, 'm');
  const common = {
    mesh,
    mode: modeFrom(field(fields, 'o')),
    bindToPort: field(fields, 'b') === '1',
    streams: streamsFrom(field(fields, 'e')),
  };
  const policies = field(fields, 'p');
  switch (field(fields, 'k')) {
    case 'h':
      return { ...common, kind: 'http', plainHttp: field(fields, 'i') === '1' };
    case 's':
      return {
        ...common,
        kind: 'service',
        service: { host: field(fields, 'h'), ref: field(fields, 's'), ports: [] },
        clusterPort: Number(field(fields, 'n')),
        auto: field(fields, 'a') === '1',
        policies,
      };
    case 'l': {
      const direct = field(fields, 'd') === '1';
      const layout = { view: field(fields, 'v'), cluster: field(fields, 'c'), mesh, direct };
      return { ...common, kind: 'layout', layout, policies };
    }
    default:
      return undefined;
  }
}

/** Whether a listener is one of a sidecar's outbound ones. */
export function isOutboundListener({ variant }: ResourceKey): boolean {
  return variant.startsWith('k=');
}
