import { resourceTypes, typeUrls } from '@watershed/proto/any.ts';
import { SecretsConfigDump } from '@watershed/proto/envoy/admin/v3/config_dump.ts';
import {
  ClustersConfigDump,
  EcdsConfigDump,
  EndpointsConfigDump,
  ListenersConfigDump,
  RoutesConfigDump,
} from '@watershed/proto/envoy/admin/v3/config_dump_shared.ts';
import type { Any } from '@watershed/proto/google/protobuf/any.ts';
import { anyToJson } from '@watershed/proto/registry.ts';
import type { XdsStream } from '../push/stream.ts';
import { isAsked } from '../session/asked.ts';
import type { TypeState } from '../session/type-state.ts';
import type { Entry } from '../view/type-view.ts';

/**
 * Envoy's admin ConfigDump of what a proxy was given, as its own `/config_dump` would show it.
 * Private keys are not opened for it.
 */
export function configDump(stream: XdsStream): object {
  const states = new Map(
    (stream.session?.types() ?? []).map((state) => [state.traits.typeUrl, state]),
  );
  const dumps = [clusters, listeners, routes, endpoints, secrets, extensions];
  return { configs: dumps.map((dump) => anyToJson(dump(states))) };
}

type States = ReadonlyMap<string, TypeState>;

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
    // Sealed bytes are no message of Envoy's, and nobody's business.
    dynamicActiveSecrets: held.map(({ name, version }) => ({ name, versionInfo: version })),
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
  const value = new Uint8Array(Buffer.concat(fragments ?? []));
  return { name, version, any: { typeUrl, value } };
}
