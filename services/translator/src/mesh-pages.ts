/** What is known of the mesh and of its clusters, in istiod's shapes (`/debug/mesh`, `clusterz`). */
import {
  AccessLogEncoding,
  OutboundMode,
  pathNormalizationToJSON,
  TlsVersion,
  tlsVersionToJSON,
  type Mesh,
} from '@watershed/model/gen/model.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import type { DebugPage } from '@watershed/runtime/debug-pages.ts';
import type { Inputs } from './inputs.ts';

type Read = Pick<Inputs, 'meshes' | 'sources'>;

export function meshPages(inputs: Read): readonly DebugPage[] {
  return [
    {
      path: '/debug/mesh',
      doc: '?cluster=: the mesh settings that hold, as far as anything depends on them (istiod)',
      handle: ({ query }) => meshOf(inputs, query.get('cluster')),
    },
    {
      path: '/debug/clusterz',
      doc: 'the clusters whose ingesters write to the log, and whether all of each was read (istiod)',
      handle: () => clusters(inputs),
    },
  ];
}

/** Each cluster has its own; where none is named, that of the first by name. */
function meshOf({ meshes }: Read, cluster: string | null): object {
  const all = [...meshes.entries()].map(([, found]) => found);
  all.sort((a, b) => (a.cluster < b.cluster ? -1 : 1));
  const found = all.find((one) => cluster === null || one.cluster === cluster);
  if (found === undefined) throw new OperatingError('not-found', 'nothing is known of it yet');
  return meshConfig(found.value);
}

/** Istio's MeshConfig as JSON. */
function meshConfig(mesh: Mesh): object {
  const { accessLogEncoding, minMeshTlsVersion, pathNormalization } = mesh;
  const isJson = accessLogEncoding === AccessLogEncoding.ACCESS_LOG_ENCODING_JSON;
  const isClosed = mesh.outboundMode === OutboundMode.OUTBOUND_MODE_REGISTRY_ONLY;
  return {
    rootNamespace: mesh.rootNamespace,
    trustDomain: mesh.trustDomain,
    trustDomainAliases: mesh.trustDomainAliases,
    outboundTrafficPolicy: { mode: isClosed ? 'REGISTRY_ONLY' : 'ALLOW_ANY' },
    connectTimeout: duration(mesh.connectTimeoutMs),
    protocolDetectionTimeout: duration(mesh.protocolDetectionTimeoutMs),
    enableAutoMtls: mesh.autoMtls,
    accessLogFile: mesh.accessLogFile,
    accessLogFormat: mesh.accessLogFormat,
    accessLogEncoding: isJson ? 'JSON' : 'TEXT',
    disableEnvoyListenerLog: mesh.disableEnvoyListenerLog,
    defaultServiceExportTo: mesh.defaultServiceExportTo,
    defaultVirtualServiceExportTo: mesh.defaultRouteExportTo,
    defaultDestinationRuleExportTo: mesh.defaultPolicyExportTo,
    h2UpgradePolicy: mesh.h2Upgrade ? 'UPGRADE' : 'DO_NOT_UPGRADE',
    pathNormalization: {
      normalization: pathNormalizationToJSON(pathNormalization).replace('PATH_NORMALIZATION_', ''),
    },
    meshMTLS: { minProtocolVersion: tlsVersion(minMeshTlsVersion) },
    proxyListenPort: mesh.proxyListenPort,
    proxyInboundListenPort: mesh.proxyInboundListenPort,
    proxyHttpPort: mesh.proxyHttpPort,
  };
}

/** `TLS_AUTO`, `TLSV1_2`. */
function tlsVersion(version: TlsVersion): string {
  if (version === TlsVersion.TLS_VERSION_AUTO) return 'TLS_AUTO';
  return tlsVersionToJSON(version).replace('TLS_VERSION_', 'TLSV');
}

function duration(ms: number): string {
  return `${ms / 1_000}s`;
}

/** There is no secret by which a cluster is read: its ingester is in it. */
function clusters({ sources }: Read): readonly object[] {
  const all = [...sources.entries()].map(([, found]) => found);
  return [...Map.groupBy(all, ({ cluster }) => cluster)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, own]) => {
      const isSynced = own.every(({ value }) => value.synced);
      return { id, secretName: '', syncStatus: isSynced ? 'synced' : 'syncing' };
    });
}
