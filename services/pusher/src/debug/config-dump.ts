import { resourceTypes, typeUrls } from '@watershed/proto/any.ts';
import { SecretsConfigDump } from '@watershed/proto/envoy/admin/v3/config_dump.ts';
import {
  ClustersConfigDump,
  EcdsConfigDump,
  EndpointsConfigDump,
  ListenersConfigDump,
  RoutesConfigDump,
} from '@watershed/proto/envoy/admin/v3/config_dump_shared.ts';
import { Secret } from '@watershed/proto/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import type { Any } from '@watershed/proto/google/protobuf/any.ts';
import { ProxyType } from '@watershed/model/gen/record.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import type { XdsStream } from '../push/stream.ts';
import { isAsked } from '../session/asked.ts';
import { typeByShort } from '../session/type-traits.ts';
import type { TypeState } from '../session/type-state.ts';
import type { Entry } from '../view/type-view.ts';

/**
 * What a proxy was given, as Envoy's own `/config_dump` would show it: Envoy's admin ConfigDump, in
 * istiod's order, with empty parts for what only Envoy knows. Endpoints as in Envoy only if they
 * are asked for (`?include_eds`). `?types=eds,sds` gives resources alone, and that is what ztunnel
 * gets of all its types. Private keys are not opened for it.
 *
 * @throws OperatingError `invalid` for a type that is not known
 */
export function configDump(stream: XdsStream, query: URLSearchParams): readonly Any[] {
  const types = typesOf(query.get('types') ?? '', stream);
  if (types === undefined) return dumpsOf(stream, { endpoints: query.has('include_eds') });
  return types.flatMap((typeUrl) => heldOf(statesOf(stream), typeUrl).held.map(({ any }) => any));
}

/** The parts of an admin ConfigDump. */
export function dumpsOf(stream: XdsStream, include = { endpoints: false }): readonly Any[] {
  const states = statesOf(stream);
  return [
    nothing(typeUrls.bootstrapDump),
    clusters(states),
    ...(include.endpoints ? [endpoints(states)] : []),
    listeners(states),
    nothing(typeUrls.scopedRoutesDump),
    routes(states),
    secrets(states),
    extensions(states),
  ];
}

type States = ReadonlyMap<string, TypeState>;

function statesOf(stream: XdsStream): States {
  return new Map((stream.session?.types() ?? []).map((state) => [state.traits.typeUrl, state]));
}

/** By Envoy's abbreviations, or by type URLs; `undefined`: what Envoy has. */
function typesOf(list: string, { node, session }: XdsStream): readonly string[] | undefined {
  if (list === '') {
    if (node?.type !== ProxyType.PROXY_TYPE_ZTUNNEL) return undefined;
    return session?.types().map(({ traits }) => traits.typeUrl);
  }
  return list.split(',', maxTypes).map((name) => {
    const typeUrl = name.includes('/') ? name : typeByShort(name.toUpperCase());
    if (typeUrl === undefined) {
      throw new OperatingError('invalid', `types: ${JSON.stringify(name)} is no type of Envoy's`);
    }
    return typeUrl;
  });
}

const maxTypes = 16;

function nothing(typeUrl: string): Any {
  return { typeUrl, value: new Uint8Array(0) };
}
function clusters(states: States): Any {
  const { versionInfo, held } = heldOf(states, resourceTypes.cluster);
  const message = ClustersConfigDump.fromPartial({
    versionInfo,
    dynamicActiveClusters: held.map(({ version, any }) => ({ versionInfo: version, cluster: any })),
  });
  return { typeUrl: typeUrls.clustersDump, value: ClustersConfigDump.encode(message).finish() };
}

function listeners(states: States): Any {
  const { versionInfo, held } = heldOf(states, resourceTypes.listener);
  const message = ListenersConfigDump.fromPartial({
    versionInfo,
    dynamicListeners: held.map(({ name, version, any }) => ({
      name,
      activeState: { versionInfo: version, listener: any },
    })),
  });
  return { typeUrl: typeUrls.listenersDump, value: ListenersConfigDump.encode(message).finish() };
}

function routes(states: States): Any {
  const { held } = heldOf(states, resourceTypes.route);
  const message = RoutesConfigDump.fromPartial({
    dynamicRouteConfigs: held.map(({ version, any }) => ({
      versionInfo: version,
      routeConfig: any,
    })),
  });
  return { typeUrl: typeUrls.routesDump, value: RoutesConfigDump.encode(message).finish() };
}

function endpoints(states: States): Any {
  const { held } = heldOf(states, resourceTypes.endpoint);
  const message = EndpointsConfigDump.fromPartial({
    dynamicEndpointConfigs: held.map(({ version, any }) => ({
      versionInfo: version,
      endpointConfig: any,
    })),
  });
  return { typeUrl: typeUrls.endpointsDump, value: EndpointsConfigDump.encode(message).finish() };
}

function secrets(states: States): Any {
  const { held } = heldOf(states, resourceTypes.secret);
  const message = SecretsConfigDump.fromPartial({
    dynamicActiveSecrets: held.map(({ name, version, any }) => ({
      name,
      versionInfo: version,
      secret: any,
    })),
  });
  return { typeUrl: typeUrls.secretsDump, value: SecretsConfigDump.encode(message).finish() };
}

function extensions(states: States): Any {
  const { held } = heldOf(states, resourceTypes.extensionConfig);
  const message = EcdsConfigDump.fromPartial({
    ecdsFilters: held.map(({ version, any }) => ({ versionInfo: version, ecdsFilter: any })),
  });
  return { typeUrl: typeUrls.ecdsDump, value: EcdsConfigDump.encode(message).finish() };
}

interface Held {
  readonly name: string;
  readonly version: string;
  readonly any: Any;
}

/** What the client holds of a type: what it subscribed of the view that it was brought to. */
function heldOf(
  states: States,
  typeUrl: string,
): { readonly versionInfo: string; readonly held: readonly Held[] } {
  const state = states.get(typeUrl);
  const held: Held[] = [];
  const { subscription, held: view } = state ?? {};
  view?.each((entry) => {
    if (subscription !== undefined && isAsked(subscription, view, entry)) {
      held.push(heldEntry(entry));
    }
  });
  held.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { versionInfo: state?.versionSent ?? '', held };
}

function heldEntry({ name, version, typeUrl, fragments }: Entry): Held {
  const value =
    typeUrl === resourceTypes.secret
      ? // Sealed bytes are no message of Envoy's, and nobody's business.
        Secret.encode(Secret.fromPartial({ name })).finish()
      : new Uint8Array(Buffer.concat(fragments ?? []));
  return { name, version, any: { typeUrl, value } };
}
