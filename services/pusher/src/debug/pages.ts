import type { DebugPage } from '@watershed/runtime/debug-pages.ts';
import type { Placement } from '../placement/placement.ts';
import type { Hub } from '../push/hub.ts';
import { traitsOf } from '../session/type-traits.ts';
import type { Scopes } from '../view/scopes.ts';
import type { XdsView } from '../view/xds-view.ts';
import { cachedNames, cachedSizes } from './cache.ts';
import { adsClients, connections, findProxy, syncStatus } from './proxies.ts';

export interface PagesOptions {
  readonly placement: Placement;
  readonly hub: Hub;
  readonly scopes: Scopes;
  readonly view: XdsView;
  /** What people are told when the log is away. */
  readonly silence: () => string | undefined;
}

export function pagesOf({
  placement,
  hub,
  scopes,
  view,
  silence,
}: PagesOptions): readonly DebugPage[] {
  return [
    {
      path: '/debug/syncz',
      doc: '?namespace=: per stream, what was sent and what was ACKed (istiod)',
      handle: ({ query }) => syncStatus(hub.streams, hub.time, query.get('namespace')),
    },
    {
      path: '/debug/connections',
      doc: 'who is connected and what each watches (istiod)',
      handle: () => connections(hub.streams),
    },
    {
      path: '/debug/adsz',
      doc: '?proxyID=: who is connected, what it says of itself, what it watches (istiod)',
      handle: ({ query }) => {
        const proxyId = query.get('proxyID') ?? '';
        return adsClients(proxyId === '' ? hub.streams : [findProxy(hub.streams, proxyId)]);
      },
    },
    {
      path: '/debug/config_dump',
      doc: "?proxyID=POD.NAMESPACE[&include_eds][&types=eds,…]: what a proxy was given, as Envoy's admin interface shows it (istiod)",
      handle: ({ query }) => dump(hub, query),
    },
    ...(['eds', 'ecds'] as const).map((type): DebugPage => ({
      path: `/debug/${type}z`,
      doc: `?proxyID=: what a proxy was given of ${type.toUpperCase()} (istiod)`,
      handle: ({ query }) => {
        query.set('types', type);
        return dump(hub, query);
      },
    })),
    {
      path: '/debug/cachez',
      doc: '[?sizes=true]: resources that are in memory for the scopes in use, by type (istiod)',
      handle: ({ query }) => {
        const isOfSizes = (query.get('sizes') ?? '') !== '';
        return isOfSizes ? cachedSizes(scopes.views()) : cachedNames(scopes.views());
      },
    },
    {
      path: '/debug/force_disconnect',
      doc: '?proxyID=: ends the streams of a proxy, which comes back to this pusher or to another (istiod)',
      method: 'POST',
      handle: ({ query }) => disconnect(hub, query.get('proxyID')),
    },
    {
      path: '/debug/admission',
      doc: 'new streams that wait until there is room to serve them, and what room there is',
      handle: () => hub.admission.state(),
    },
    {
      path: '/debug/scopes',
      doc: 'the scopes that are served, at which epoch, and how old the log is',
      handle: () => scopePage({ hub, scopes, view, silence }),
    },
    {
      path: '/debug/placement',
      doc: 'the pushers that there are, whose each namespace is, and whether streams are being moved',
      handle: () => placement.state(),
    },
  ];
}

function disconnect({ streams }: Hub, proxyId: string | null): string {
  const { node } = findProxy(streams, proxyId);
  const message = 'an operator has asked for it';
  const own = [...streams].filter((stream) => stream.node?.id === node?.id);
  for (const stream of own) stream.end({ code: 'unavailable', message });
  return 'OK';
}

async function dump({ streams }: Hub, query: URLSearchParams): Promise<object> {
  const stream = findProxy(streams, query.get('proxyID'));
  // Every codec there is: loaded when somebody looks, and not before.
  const { configDump } = await import('./config-dump.ts');
  const { anyToJson } = await import('@watershed/proto/registry.ts');
  return { configs: configDump(stream, query).map((any) => anyToJson(any)) };
}

function scopePage({ hub, scopes, view, silence }: Omit<PagesOptions, 'placement'>): object {
  const streams = new Map<string, number>();
  for (const { scope } of hub.streams) streams.set(scope, (streams.get(scope) ?? 0) + 1);
  return {
    log: {
      read: view.ready,
      epoch: view.epoch,
      watermarks: view.watermarks,
      lastHeardMsAgo: view.ageMs,
      silence: silence(),
    },
    records: scopes.counts,
    waiting: scopes.waiting,
    scopes: scopes.views().map(({ scope, epoch, sequence, types }) => ({
      scope,
      epoch,
      view: sequence,
      complete: scopes.complete(scope),
      streams: streams.get(scope) ?? 0,
      resources: Object.fromEntries(
        [...types].map(([typeUrl, type]) => [traitsOf(typeUrl).short, type.size]),
      ),
    })),
  };
}
