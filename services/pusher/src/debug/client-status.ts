import { Node } from '@watershed/proto/envoy/config/core/v3/base.ts';
import {
  ClientConfig,
  ClientConfig_GenericXdsConfig,
  ClientStatusRequest,
  ClientStatusResponse,
  ConfigStatus,
} from '@watershed/proto/envoy/service/status/v3/csds.ts';
import type { NodeMatcher } from '@watershed/proto/envoy/type/matcher/v3/node.ts';
import type { StringMatcher } from '@watershed/proto/envoy/type/matcher/v3/string.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import type { ProxyNode } from '../node-scope.ts';
import type { XdsStream } from '../push/stream.ts';
import type { TypeState } from '../session/type-state.ts';
import type { Entry } from '../view/type-view.ts';

/** Of one answer's resources; who wants more asks for fewer clients, or without contents. */
const maxBytes = 64 * 1024 * 1024;
const maxMatchers = 1_000;

/**
 * What connected clients hold, as `envoy/service/status/v3/csds.proto` says; `bytes` is a
 * ClientStatusRequest, the answer a ClientStatusResponse. A client with several streams is one.
 *
 * @throws OperatingError `invalid` for a request that cannot be answered, `too-large` for too large
 *   an answer
 */
export function clientStatus(streams: Iterable<XdsStream>, bytes: Uint8Array): Uint8Array {
  const request = decode(bytes);
  const matches = matcherOf(request.nodeMatchers);
  const contents = !request.excludeResourceContents;
  const byNode = new Map<string, ClientConfig>();
  const budget = { left: maxBytes };
  for (const { node, session } of streams) {
    if (node === undefined || session === undefined || !matches(node)) continue;
    const config = byNode.get(node.id) ?? ClientConfig.fromPartial({ node: nodeOf(node) });
    byNode.set(node.id, config);
    for (const state of session.types()) {
      const target = session.goal?.types.get(state.traits.typeUrl);
      for (const one of resourcesOf(state)) {
        config.genericXdsConfigs.push(describe(state, one, contents, budget));
      }
      target?.each((entry) => {
        if (!state.subscription.has(entry) || state.held?.lookup(entry) !== undefined) return;
        if (state.quarantine?.all.some(({ name }) => name === entry.name) === true) return;
        config.genericXdsConfigs.push(describe(state, notSent(entry.name), false, budget));
      });
    }
  }
  const config = [...byNode.values()];
  return ClientStatusResponse.encode({ config }).finish();
}

function decode(bytes: Uint8Array): ClientStatusRequest {
  try {
    return ClientStatusRequest.decode(bytes);
  } catch (cause) {
    throw new OperatingError('invalid', 'not a ClientStatusRequest', { cause });
  }
}

interface Resource {
  readonly name: string;
  readonly version: string;
  readonly status: ConfigStatus;
  readonly entry: Entry | undefined;
  readonly error?: string;
}

function notSent(name: string): Resource {
  return { name, version: '', status: ConfigStatus.NOT_SENT, entry: undefined };
}

/** All that a stream was sent of a type, what it refused, and what it named that does not exist. */
function resourcesOf(state: TypeState): readonly Resource[] {
  const { held, subscription, quarantine, outstanding } = state;
  const unanswered = new Set(
    outstanding.flatMap(({ frame }) => frame.plan.changed.map(({ name }) => name)),
  );
  const refused = new Map((quarantine?.all ?? []).map((one) => [one.name, one]));
  const found = new Map<string, Resource>();
  held?.each((entry) => {
    if (!subscription.has(entry) || refused.has(entry.name)) return;
    const status = unanswered.has(entry.name) ? ConfigStatus.STALE : ConfigStatus.SYNCED;
    found.set(entry.name, { name: entry.name, version: entry.version, status, entry });
  });
  for (const { name, refused: version, held: kept } of refused.values()) {
    const status = ConfigStatus.ERROR;
    found.set(name, { name, version, status, entry: kept, error: state.lastError });
  }
  subscription.eachName(({ name }) => {
    if (!found.has(name)) found.set(name, notSent(name));
  });
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function describe(
  { traits }: TypeState,
  { name, version, status, entry, error }: Resource,
  contents: boolean,
  budget: { left: number },
): ClientConfig_GenericXdsConfig {
  const { typeUrl, stage } = traits;
  const config = ClientConfig_GenericXdsConfig.fromPartial({
    typeUrl,
    name,
    versionInfo: version,
    configStatus: status,
    ...(error === undefined ? {} : { errorState: { versionInfo: version, details: error } }),
  });
  // Sealed secrets are no message of Envoy's, and nobody's business.
  if (!contents || entry?.fragments === undefined || stage === 'secrets') return config;
  budget.left -= entry.size;
  if (budget.left < 0) {
    throw new OperatingError(
      'too-large',
      `over ${maxBytes} bytes: ask for fewer clients (node_matchers), or exclude_resource_contents`,
    );
  }
  config.xdsConfig = { typeUrl, value: new Uint8Array(Buffer.concat(entry.fragments)) };
  return config;
}

/** What is kept of a client's word. */
function nodeOf(node: ProxyNode): Node {
  const { region, zone, subZone } = node;
  return Node.fromPartial({
    id: node.id,
    cluster: node.cluster,
    userAgentVersionType: { $case: 'userAgentVersion', value: node.version },
    locality: { region, zone, subZone },
    metadata: { NAMESPACE: node.namespace, ISTIO_VERSION: node.istioVersion },
  });
}

/** Any of them; without one, everybody. */
function matcherOf(matchers: readonly NodeMatcher[]): (node: ProxyNode) => boolean {
  if (matchers.length > maxMatchers) {
    throw new OperatingError('invalid', `node_matchers: more than ${maxMatchers}`);
  }
  if (matchers.length === 0) return () => true;
  const tests = matchers.map(({ nodeId, nodeMetadatas }) => {
    if (nodeMetadatas.length > 0) {
      throw new OperatingError('invalid', 'node_matchers.node_metadatas is not supported');
    }
    return nodeId === undefined ? () => true : textMatcher(nodeId);
  });
  return ({ id }) => tests.some((test) => test(id));
}

function textMatcher({ matchPattern, ignoreCase }: StringMatcher): (text: string) => boolean {
  const fold = (text: string): string => (ignoreCase ? text.toLowerCase() : text);
  switch (matchPattern?.$case) {
    case 'exact':
      return (text) => fold(text) === fold(matchPattern.value);
    case 'prefix':
      return (text) => fold(text).startsWith(fold(matchPattern.value));
    case 'suffix':
      return (text) => fold(text).endsWith(fold(matchPattern.value));
    case 'contains':
      return (text) => fold(text).includes(fold(matchPattern.value));
    default: {
      const kind = matchPattern?.$case ?? 'without a pattern';
      throw new OperatingError('invalid', `node_matchers.node_id: ${kind} is not supported`);
    }
  }
}
