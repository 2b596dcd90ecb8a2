/**
 * What is connected, in the shapes of istiod's debug pages, so that its tools and dashboards read
 * them.
 */
import { ProxyType } from '@watershed/model/gen/record.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import type { XdsStream } from '../push/stream.ts';
import { traitsOf } from '../session/type-traits.ts';

const typeNames: Readonly<Record<ProxyType, string>> = {
  [ProxyType.PROXY_TYPE_SIDECAR]: 'sidecar',
  [ProxyType.PROXY_TYPE_ROUTER]: 'router',
  [ProxyType.PROXY_TYPE_ZTUNNEL]: 'ztunnel',
  [ProxyType.UNRECOGNIZED]: '',
};

/** Istiod's words for types in `/debug/syncz`. */
const words: ReadonlyMap<string, string> = new Map([
  [resourceTypes.cluster, 'cluster'],
  [resourceTypes.listener, 'listener'],
  [resourceTypes.route, 'route'],
  [resourceTypes.endpoint, 'endpoint'],
  [resourceTypes.secret, 'secret'],
  [resourceTypes.extensionConfig, 'extensionconfig'],
]);

/** `POD.NAMESPACE`, as istioctl names a proxy. */
function proxyName(stream: XdsStream): string {
  return stream.node === undefined ? '' : `${stream.node.pod}.${stream.node.namespace}`;
}

/**
 * `/debug/syncz`: one entry per stream. `*_sent` and `*_acked` are nonces, equal when the proxy has
 * taken what it was sent last. Beyond istiod's: `scope`, `*_nacked`, `*_error`, `*_quarantined`
 * (names of which it keeps what was good last), which epoch of the configuration it is at, what it
 * waits for before it goes on, and how often it went on without.
 */
export function syncStatus(streams: Iterable<XdsStream>): readonly object[] {
  const entries: { readonly proxy: string; readonly entry: object }[] = [];
  for (const stream of streams) {
    const { node, session } = stream;
    if (node === undefined || session === undefined) continue;
    const { waitsFor, forced } = session.gates;
    const types: Record<string, string | boolean | readonly string[]> = {};
    for (const state of session.types()) {
      const word = words.get(state.traits.typeUrl) ?? traitsOf(state.traits.typeUrl).short;
      // An empty answer to a resumed subscription is in step as well.
      const resumed = state.nonceSent === '' && state.held !== undefined;
      types[`${word}_sent`] = resumed ? 'resumed' : state.nonceSent;
      types[`${word}_acked`] = resumed ? 'resumed' : state.nonceAcked;
      const kept = state.quarantine?.all.slice(0, maxNames).map(({ name }) => name);
      if (kept !== undefined) types[`${word}_quarantined`] = kept;
      if (state.lastError === '') continue;
      types[`${word}_nacked`] = true;
      types[`${word}_error`] = state.lastError;
    }
    entries.push({
      proxy: proxyName(stream),
      entry: {
        cluster_id: node.cluster,
        proxy: proxyName(stream),
        proxy_type: typeNames[node.type],
        proxy_version: node.version,
        istio_version: node.istioVersion,
        ...types,
        scope: stream.scope,
        epoch: session.goal?.epoch ?? 0,
        synced: session.synced,
        ...(waitsFor === undefined ? {} : { waits_for: waitsFor }),
        ...(forced === 0 ? {} : { waits_given_up: forced }),
      },
    });
  }
  return entries.sort((a, b) => (a.proxy < b.proxy ? -1 : 1)).map(({ entry }) => entry);
}

/** Of one stream's subscriptions, names that are listed. */
const maxNames = 1_000;

/** `/debug/connections`: who is connected, and what each watches. */
export function connections(streams: Iterable<XdsStream>): object {
  const clients = [...streams].map((stream) => {
    const watches: Record<string, readonly string[]> = {};
    for (const { traits, subscription } of stream.session?.types() ?? []) {
      const names: string[] = subscription.wildcard ? ['*'] : [];
      subscription.eachName(({ name }) => {
        if (names.length < maxNames) names.push(name);
      });
      watches[traits.typeUrl] = names.sort();
    }
    return {
      connectionId: `${stream.node?.id ?? ''}-${stream.id}`,
      connectedAt: new Date(stream.openedMs).toISOString(),
      address: stream.peer.address,
      protocol: stream.mode,
      secure: stream.peer.secure,
      scope: stream.scope,
      watches,
    };
  });
  return { totalClients: clients.length, clients };
}

/** The stream of a proxy, by `POD.NAMESPACE`, `POD` or node id; the one opened last. */
export function findProxy(streams: Iterable<XdsStream>, proxyId: string | null): XdsStream {
  if (proxyId === null || proxyId === '') {
    throw new OperatingError('invalid', 'you must provide a proxyID in the query string');
  }
  const found = [...streams].filter(
    (stream) =>
      stream.session !== undefined &&
      [proxyName(stream), stream.node?.pod, stream.node?.id].includes(proxyId),
  );
  const last = found.at(-1);
  if (last === undefined) {
    throw new OperatingError('not-found', `proxy ${JSON.stringify(proxyId)} is not connected here`);
  }
  return last;
}
