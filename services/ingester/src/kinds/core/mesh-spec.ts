/** MeshConfig as Istio's API says it → as the model says it. */
import {
  AccessLogEncoding,
  Mesh,
  OutboundMode,
  PathNormalization,
  TlsVersion,
} from '@watershed/model/gen/model.ts';
import {
  MeshConfig,
  MeshConfig_AccessLogEncoding,
  MeshConfig_H2UpgradePolicy,
  MeshConfig_OutboundTrafficPolicy_Mode,
  MeshConfig_ProxyPathNormalization_NormalizationType as Normalization,
  MeshConfig_TLSConfig_TLSProtocol as TlsProtocol,
} from '@watershed/proto/istio/mesh/v1alpha1/config.ts';
import { isObject, type At } from '../../decode.ts';
import type { Decoded, SourceSettings } from '../../kind.ts';
import { checkDuration, checkPort, durationMs, type DurationValue } from '../common/checks.ts';
import { formatProblem } from '../common/format.ts';
import { isDnsLabel, nameProblem } from '../common/hosts.ts';
import { decodeChecked } from '../istio/decode.ts';
import { retry } from '../istio/http-rule.ts';
import { keepalive, localityLb } from '../istio/traffic-policy.ts';

export type MeshSpec = MeshConfig;

const blankMesh = Mesh.create();

/** istiod's DefaultMeshConfig. */
const defaults = {
  trustDomain: 'cluster.local',
  connectTimeoutMs: 10_000,
  exportTo: ['*'],
  proxyListenPort: 15_001,
  proxyInboundListenPort: 15_006,
} as const;

const normalizations: Readonly<Record<Normalization, PathNormalization>> = {
  [Normalization.DEFAULT]: PathNormalization.PATH_NORMALIZATION_BASE,
  [Normalization.BASE]: PathNormalization.PATH_NORMALIZATION_BASE,
  [Normalization.NONE]: PathNormalization.PATH_NORMALIZATION_NONE,
  [Normalization.MERGE_SLASHES]: PathNormalization.PATH_NORMALIZATION_MERGE_SLASHES,
  [Normalization.DECODE_AND_MERGE_SLASHES]:
    PathNormalization.PATH_NORMALIZATION_DECODE_AND_MERGE_SLASHES,
  [Normalization.UNRECOGNIZED]: PathNormalization.PATH_NORMALIZATION_BASE,
};

const tlsVersions: Readonly<Record<TlsProtocol, TlsVersion>> = {
  [TlsProtocol.TLS_AUTO]: TlsVersion.TLS_VERSION_AUTO,
  [TlsProtocol.TLSV1_2]: TlsVersion.TLS_VERSION_1_2,
  [TlsProtocol.TLSV1_3]: TlsVersion.TLS_VERSION_1_3,
  [TlsProtocol.UNRECOGNIZED]: TlsVersion.TLS_VERSION_AUTO,
};

/**
 * The fields that are read, those of messages one by one: what else is written has no effect, and
 * is told of. A test holds this list against what changes the event.
 */
const readFields: ReadonlySet<string> = new Set([
  'accessLogEncoding',
  'accessLogFile',
  'accessLogFormat',
  // By `MeshSource`.
  'configSources',
  'connectTimeout',
  'defaultDestinationRuleExportTo',
  'defaultHttpRetryPolicy.attempts',
  'defaultHttpRetryPolicy.backoff',
  'defaultHttpRetryPolicy.perTryTimeout',
  'defaultHttpRetryPolicy.retryIgnorePreviousHosts',
  'defaultHttpRetryPolicy.retryOn',
  'defaultHttpRetryPolicy.retryRemoteLocalities',
  'defaultServiceExportTo',
  'defaultVirtualServiceExportTo',
  'disableEnvoyListenerLog',
  'enableAutoMtls',
  'h2UpgradePolicy',
  'localityLbSetting.distribute',
  'localityLbSetting.enabled',
  'localityLbSetting.failover',
  'localityLbSetting.failoverPriority',
  'meshMTLS.minProtocolVersion',
  'outboundTrafficPolicy.mode',
  'pathNormalization.normalization',
  'protocolDetectionTimeout',
  'proxyHttpPort',
  'proxyInboundListenPort',
  'proxyListenPort',
  'rootNamespace',
  'tcpKeepalive.interval',
  'tcpKeepalive.probes',
  'tcpKeepalive.time',
  'trustDomain',
  'trustDomainAliases',
]);

/**
 * Unknown fields are warnings, as in istiod: the settings are one object, and to lose all of them
 * (or to start with none) for one that a newer Istio knows would be worse than to do without it.
 */
export function decodeMesh(value: unknown, path: string): Decoded<MeshSpec> {
  return decodeChecked(
    { typeName: 'istio.mesh.v1alpha1.MeshConfig', codec: MeshConfig },
    value,
    { path, unknownFields: 'warning' },
    check,
  );
}

/** Written fields that nobody reads. What is written as it is by default makes no difference. */
function tellUnread(mesh: MeshConfig, at: At): void {
  const written: unknown = MeshConfig.toJSON(mesh);
  for (const [name, value] of Object.entries(isObject(written) ? written : {})) {
    const within = isObject(value) ? Object.entries(value) : [];
    if (!isObject(value) && !readFields.has(name)) at.field(name).warn(value, unread);
    for (const [inner, one] of within) {
      if (readFields.has(`${name}.${inner}`)) continue;
      const reason = name === 'defaultConfig' ? unreadOfProxies : unread;
      at.field(name).field(inner).warn(one, reason);
    }
  }
}

const unread = 'is not supported and has no effect';
const unreadOfProxies = `${unread}, nor does \`xdsctl bootstrap\` read it`;

function check(mesh: MeshConfig, at: At): void {
  tellUnread(mesh, at);
  for (const name of ['proxyListenPort', 'proxyInboundListenPort', 'proxyHttpPort'] as const) {
    if (mesh[name] !== 0) checkPort(at.field(name), mesh[name]);
  }
  checkAccessLog(mesh, at.field('accessLogFormat'));
  checkDuration(at.field('connectTimeout'), mesh.connectTimeout);
  const detection = mesh.protocolDetectionTimeout;
  if (!isZero(detection)) checkDuration(at.field('protocolDetectionTimeout'), detection);
  for (const [name, domain] of [
    ['trustDomain', mesh.trustDomain] as const,
    ...mesh.trustDomainAliases.map((alias) => ['trustDomainAliases', alias] as const),
  ]) {
    const reason = domain === '' ? undefined : nameProblem(domain);
    if (reason !== undefined) at.field(name).error(domain, reason);
  }
  if (mesh.rootNamespace !== '' && !isDnsLabel(mesh.rootNamespace)) {
    at.field('rootNamespace').error(mesh.rootNamespace, 'must be the name of a namespace');
  }
  const exports = {
    defaultServiceExportTo: mesh.defaultServiceExportTo,
    defaultVirtualServiceExportTo: mesh.defaultVirtualServiceExportTo,
    defaultDestinationRuleExportTo: mesh.defaultDestinationRuleExportTo,
  };
  for (const [name, entries] of Object.entries(exports)) {
    for (const [index, entry] of entries.entries()) {
      if (['.', '*', '~'].includes(entry) || isDnsLabel(entry)) continue;
      at.field(name).item(index).error(entry, 'must be ".", "*", "~" or the name of a namespace');
    }
  }
}

function checkAccessLog({ accessLogFormat, accessLogEncoding }: MeshConfig, at: At): void {
  const isJson = accessLogEncoding === MeshConfig_AccessLogEncoding.JSON;
  const formats = isJson && accessLogFormat !== '' ? textsOf(accessLogFormat) : [accessLogFormat];
  if (formats === undefined) at.warn(accessLogFormat, 'is no JSON object: the default is used');
  for (const format of formats ?? []) {
    const problem = formatProblem(format);
    if (problem !== undefined) at.error(format, problem);
  }
}

/** The strings in a JSON object; undefined if it is none. */
function textsOf(json: string): readonly string[] | undefined {
  const parsed = parsedJson(json);
  if (!isObject(parsed)) return undefined;
  const texts: string[] = [];
  const left: unknown[] = [parsed];
  for (const value of left) {
    if (typeof value === 'string') texts.push(value);
    else if (typeof value === 'object' && value !== null) {
      for (const one of Object.values(value)) left.push(one);
    }
  }
  return texts;
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isZero(duration: DurationValue | undefined): boolean {
  return duration === undefined || (duration.seconds === 0 && duration.nanos === 0);
}

/** The event, with istiod's defaults. */
export function meshEvent(mesh: MeshSpec, settings: SourceSettings): Mesh {
  const { connectTimeout, protocolDetectionTimeout } = mesh;
  const mode = mesh.outboundTrafficPolicy?.mode;
  const isRegistryOnly = mode === MeshConfig_OutboundTrafficPolicy_Mode.REGISTRY_ONLY;
  const isJson = mesh.accessLogEncoding === MeshConfig_AccessLogEncoding.JSON;
  return {
    ...blankMesh,
    rootNamespace: mesh.rootNamespace || settings.rootNamespace,
    trustDomain: mesh.trustDomain || defaults.trustDomain,
    trustDomainAliases: [...mesh.trustDomainAliases],
    outboundMode: isRegistryOnly
      ? OutboundMode.OUTBOUND_MODE_REGISTRY_ONLY
      : OutboundMode.OUTBOUND_MODE_ALLOW_ANY,
    connectTimeoutMs:
      connectTimeout === undefined ? defaults.connectTimeoutMs : durationMs(connectTimeout),
    protocolDetectionTimeoutMs:
      protocolDetectionTimeout === undefined ? 0 : durationMs(protocolDetectionTimeout),
    autoMtls: mesh.enableAutoMtls ?? true,
    accessLogFile: mesh.accessLogFile,
    accessLogFormat: mesh.accessLogFormat,
    accessLogEncoding: isJson
      ? AccessLogEncoding.ACCESS_LOG_ENCODING_JSON
      : AccessLogEncoding.ACCESS_LOG_ENCODING_TEXT,
    ...exportDefaults(mesh),
    tcpKeepalive: keepalive(mesh.tcpKeepalive),
    defaultHttpRetry: retry(mesh.defaultHttpRetryPolicy),
    h2Upgrade: mesh.h2UpgradePolicy === MeshConfig_H2UpgradePolicy.UPGRADE,
    pathNormalization:
      normalizations[mesh.pathNormalization?.normalization ?? Normalization.DEFAULT],
    minMeshTlsVersion: tlsVersions[mesh.meshMTLS?.minProtocolVersion ?? TlsProtocol.TLS_AUTO],
    localityLb: localityLb(mesh.localityLbSetting),
    proxyListenPort: mesh.proxyListenPort || defaults.proxyListenPort,
    proxyInboundListenPort: mesh.proxyInboundListenPort || defaults.proxyInboundListenPort,
    proxyHttpPort: mesh.proxyHttpPort,
    disableEnvoyListenerLog: mesh.disableEnvoyListenerLog,
    domain: settings.domain,
  };
}

/** Whom objects are exported to that say nothing themselves; "." is the namespace of each. */
export function exportDefaults(
  mesh: MeshSpec | undefined,
): Pick<Mesh, 'defaultServiceExportTo' | 'defaultRouteExportTo' | 'defaultPolicyExportTo'> {
  const or = (given: readonly string[] | undefined): string[] =>
    given === undefined || given.length === 0 ? [...defaults.exportTo] : [...given];
  return {
    defaultServiceExportTo: or(mesh?.defaultServiceExportTo),
    defaultRouteExportTo: or(mesh?.defaultVirtualServiceExportTo),
    defaultPolicyExportTo: or(mesh?.defaultDestinationRuleExportTo),
  };
}
