/** `istio.io/debug/syncz`: which proxies have what they were sent, in istiod's shape. */
import { Node } from '@watershed/proto/envoy/config/core/v3/base.ts';
import {
  ClientConfig,
  ClientConfig_GenericXdsConfig,
  ConfigStatus,
} from '@watershed/proto/envoy/service/status/v3/csds.ts';
import type { Timestamp } from '@watershed/proto/google/protobuf/timestamp.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import type { XdsStream } from '../push/stream.ts';
import type { TypeState } from '../session/type-state.ts';
import { proxyName, sentAtMs } from './proxies.ts';

/**
 * One per proxy, however many streams it has. A type is NOT_SENT as long as nothing of it was sent,
 * STALE until the client has answered what was sent last, and ERROR while it refuses something.
 */
export function clientConfigs(streams: Iterable<XdsStream>, time: Time): readonly ClientConfig[] {
  const byProxy = new Map<string, ClientConfig>();
  for (const stream of streams) {
    const { session } = stream;
    if (session === undefined) continue;
    const name = proxyName(stream);
    const config = byProxy.get(name) ?? ClientConfig.fromPartial({ node: nodeOf(stream) });
    byProxy.set(name, config);
    for (const state of session.types()) config.genericXdsConfigs.push(configOf(state, time));
  }
  for (const { genericXdsConfigs } of byProxy.values()) {
    genericXdsConfigs.sort((a, b) => (a.typeUrl < b.typeUrl ? -1 : 1));
  }
  return [...byProxy].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, config]) => config);
}

/** Of the metadata, what istioctl prints. */
function nodeOf(stream: XdsStream): Node {
  const { cluster = '', namespace = '', istioVersion = '' } = stream.node ?? {};
  return Node.fromPartial({
    id: proxyName(stream),
    metadata: { CLUSTER_ID: cluster, NAMESPACE: namespace, ISTIO_VERSION: istioVersion },
  });
}

function configOf(state: TypeState, time: Time): ClientConfig_GenericXdsConfig {
  const sentMs = sentAtMs(state, time);
  const lastUpdated = sentMs === undefined ? undefined : timestampOf(sentMs);
  return ClientConfig_GenericXdsConfig.fromPartial({
    typeUrl: state.traits.typeUrl,
    configStatus: statusOf(state),
    lastUpdated,
    ...(state.lastError === ''
      ? {}
      : { errorState: { lastUpdateAttempt: lastUpdated, details: state.lastError } }),
  });
}

function statusOf({ lastError, nonceSent, nonceAcked, held }: TypeState): ConfigStatus {
  if (lastError !== '') return ConfigStatus.ERROR;
  // A client that came back with all that there is was sent nothing, and has it.
  if (nonceSent === '') return held === undefined ? ConfigStatus.NOT_SENT : ConfigStatus.SYNCED;
  return nonceSent === nonceAcked ? ConfigStatus.SYNCED : ConfigStatus.STALE;
}

function timestampOf(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1_000);
  return { seconds, nanos: (Math.floor(ms) % 1_000) * 1_000_000 };
}
