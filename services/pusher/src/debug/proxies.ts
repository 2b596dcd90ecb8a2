/**
 * What is connected, in the shapes of istiod's debug pages (istio/istio `pilot/pkg/xds/debug.go`),
 * so that its tools and dashboards read them.
 */
import { ProxyType } from '@watershed/model/gen/record.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import type { ProxyNode } from '../node-scope.ts';
import type { XdsStream } from '../push/stream.ts';
import type { TypeState } from '../session/type-state.ts';

/** Istiod's words for types in `/debug/syncz`. */
const words: ReadonlyMap<string, string> = new Map([
  [resourceTypes.cluster, 'cluster'],
  [resourceTypes.listener, 'listener'],
  [resourceTypes.route, 'route'],
  [resourceTypes.endpoint, 'endpoint'],
  [resourceTypes.secret, 'secret'],
  [resourceTypes.extensionConfig, 'extensionconfig'],
]);

/** `POD.NAMESPACE`, as istioctl names a proxy: the third part of its node id. */
export function proxyName({ node }: XdsStream): string {
  return node === undefined ? '' : `${node.pod}.${node.podNamespace}`;
}

/** When a type was sent last, in ms since the Unix epoch; `undefined`: never. */
export function sentAtMs({ nonceSent, sentAtS }: TypeState, time: Time): number | undefined {
  if (nonceSent === '') return undefined;
  return time.now() - Math.max(0, time.monotonic() - sentAtS * 1_000);
}

/**
 * `/debug/syncz`: one entry per stream, of one namespace or of all. `*_sent` and `*_acked` are
 * nonces, equal when the proxy has taken what it was sent last; `resources` says the same by type
 * URL. Beyond istiod's: `scope`, `*_nacked`, `*_error`, `*_quarantined` (names of which it keeps
 * what was good last), by type whether some of that is for others'
 * sake (`spared`), which epoch of the configuration it is at, what it waits for before it goes
 * on, and how often it went on without.
 */
export function syncStatus(
  streams: Iterable<XdsStream>,
  time: Time,
  namespace: string | null,
): readonly object[] {
  const entries: { readonly proxy: string; readonly entry: object }[] = [];
  for (const stream of streams) {
    const { node, session } = stream;
    if (node === undefined || session === undefined) continue;
    if (namespace !== null && namespace !== '' && node.namespace !== namespace) continue;
    const { waitsFor, forced } = session.gates;
    const types: Record<string, string | boolean | readonly string[]> = {};
    const resources: Record<string, object> = {};
    for (const state of session.types()) {
      const { typeUrl, short } = state.traits;
      Object.assign(types, syncOf(state, words.get(typeUrl) ?? short));
      resources[typeUrl] = resourceStatus(state, time);
    }
    const entry = {
      cluster_id: node.cluster || undefined,
      proxy: proxyName(stream),
      proxy_type: typeNames[node.type],
      proxy_version: node.version || undefined,
      istio_version: node.istioVersion || undefined,
      ...types,
      resources,
      scope: stream.scope,
      epoch: session.goal?.epoch ?? 0,
      synced: session.synced,
      ...(waitsFor === undefined ? {} : { waits_for: waitsFor }),
      ...(forced === 0 ? {} : { waits_given_up: forced }),
    };
    entries.push({ proxy: proxyName(stream), entry });
  }
  return entries.sort((a, b) => (a.proxy < b.proxy ? -1 : 1)).map(({ entry }) => entry);
}

const typeNames: Readonly<Record<ProxyType, string>> = {
  [ProxyType.PROXY_TYPE_SIDECAR]: 'sidecar',
  [ProxyType.PROXY_TYPE_ROUTER]: 'router',
  [ProxyType.PROXY_TYPE_ZTUNNEL]: 'ztunnel',
  [ProxyType.UNRECOGNIZED]: '',
};

/** What was sent and ACKed; empty texts are left out, as istiod does. */
function sentAndAcked(state: TypeState): { readonly sent?: string; readonly acked?: string } {
  const { nonceSent, nonceAcked, held } = state;
  // An empty answer to a resumed subscription is in step as well.
  if (nonceSent === '' && held !== undefined) return { sent: 'resumed', acked: 'resumed' };
  return {
    ...(nonceSent === '' ? {} : { sent: nonceSent }),
    ...(nonceAcked === '' ? {} : { acked: nonceAcked }),
  };
}

function syncOf(
  state: TypeState,
  word: string,
): Record<string, string | boolean | readonly string[]> {
  const { sent, acked } = sentAndAcked(state);
  const kept = state.quarantine?.all.slice(0, maxNames).map(({ name }) => name);
  return {
    ...(sent === undefined ? {} : { [`${word}_sent`]: sent }),
    ...(acked === undefined ? {} : { [`${word}_acked`]: acked }),
    ...(kept === undefined ? {} : { [`${word}_quarantined`]: kept }),
    ...(state.lastError === ''
      ? {}
      : { [`${word}_nacked`]: true, [`${word}_error`]: state.lastError }),
  };
}

function resourceStatus(state: TypeState, time: Time): object {
  const sentMs = sentAtMs(state, time);
  const spared = state.quarantine?.all.some((one) => one.spared) === true;
  return {
    ...sentAndAcked(state),
    ...(spared ? { spared } : {}),
    ...(sentMs === undefined ? {} : { sentTime: new Date(sentMs).toISOString() }),
    ...(state.lastError === '' ? {} : { lastError: state.lastError }),
  };
}

/** Of one stream's subscriptions, names that are listed. */
const maxNames = 1_000;

/** `/debug/connections`: who is connected, over what, and of which scope. */
export function connections(streams: Iterable<XdsStream>): object {
  const clients = [...streams].map((stream) => ({
    ...connectionOf(stream),
    protocol: stream.mode,
    secure: stream.peer.secure,
    scope: stream.scope,
    watches: watchesOf(stream),
  }));
  return { totalClients: clients.length, clients };
}

/** `/debug/adsz`: who is connected, what it says of itself, and what it watches. */
export function adsClients(streams: Iterable<XdsStream>): object {
  const clients = [...streams].map((stream) => {
    const { node } = stream;
    const { region = '', zone = '', subZone = '' } = node ?? {};
    return {
      ...connectionOf(stream),
      labels: node?.labels,
      metadata: node === undefined ? undefined : metadataOf(node),
      locality: region === '' ? undefined : { region, zone, subZone },
      watches: watchesOf(stream),
    };
  });
  return { totalClients: clients.length, clients };
}

/** What is kept of its metadata, under istio's names. */
function metadataOf(node: ProxyNode): object {
  return {
    CLUSTER_ID: node.cluster || undefined,
    NAMESPACE: node.namespace,
    NETWORK: node.network || undefined,
    SERVICE_ACCOUNT: node.serviceAccount || undefined,
    ISTIO_VERSION: node.istioVersion || undefined,
    INTERCEPTION_MODE: node.interception || undefined,
  };
}

function connectionOf(stream: XdsStream): object {
  const { address, port } = stream.peer;
  return {
    connectionId: connectionId(stream),
    connectedAt: new Date(stream.openedMs).toISOString(),
    address: `${address.includes(':') ? `[${address}]` : address}:${port}`,
  };
}

function connectionId({ node, id }: XdsStream): string {
  return `${node?.id ?? ''}-${id}`;
}

function watchesOf(stream: XdsStream): Readonly<Record<string, readonly string[]>> {
  const watches: Record<string, readonly string[]> = {};
  for (const { traits, subscription } of stream.session?.types() ?? []) {
    const names: string[] = subscription.wildcard ? ['*'] : [];
    subscription.eachName(({ name }) => {
      if (names.length < maxNames) names.push(name);
    });
    watches[traits.typeUrl] = names.sort();
  }
  return watches;
}

/**
 * The stream of a proxy, by `POD.NAMESPACE`, `POD` or node id, else by a part of its connection id
 * (istiod's way); the one opened last. The errors are istiod's texts: istioctl looks for them.
 */
export function findProxy(streams: Iterable<XdsStream>, proxyId: string | null): XdsStream {
  if (proxyId === null || proxyId === '') {
    throw new OperatingError('invalid', 'You must provide a proxyID in the query string');
  }
  const all = [...streams].filter(({ session }) => session !== undefined);
  const found =
    all.findLast((one) => [proxyName(one), one.node?.pod, one.node?.id].includes(proxyId)) ??
    all.findLast((one) => connectionId(one).includes(proxyId));
  if (found === undefined) {
    throw new OperatingError(
      'not-found',
      'Proxy not connected to this Pilot instance. It may be connected to another instance.',
    );
  }
  return found;
}
