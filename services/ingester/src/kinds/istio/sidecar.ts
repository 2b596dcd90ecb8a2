import type { Reader } from '@watershed/derive/graph.ts';
import {
  CaptureMode,
  EgressListener,
  IngressListener,
  OutboundMode,
  Protocol,
  Scope,
} from '@watershed/model/gen/model.ts';
import { configKey } from '@watershed/model/keys.ts';
import {
  CaptureMode as IstioCaptureMode,
  OutboundTrafficPolicy_Mode,
  Sidecar,
} from '@watershed/proto/istio/networking/v1alpha3/sidecar.ts';
import type {
  IstioEgressListener,
  IstioIngressListener,
  OutboundTrafficPolicy,
} from '@watershed/proto/istio/networking/v1alpha3/sidecar.ts';
import type { Emission, Kind, SourceObject, World } from '../../kind.ts';
import { byCodeUnit } from '../common/hosts.ts';
import { parseProtocol } from '../common/protocol.ts';
import { apiVersions, istioDecoder } from './decode.ts';
import { checkSidecar } from './sidecar-check.ts';
import { defaultIndex, defaultNamespaces, lostDefault, ownNamespace } from './sidecar-default.ts';
import { egressHost, emptyEgress } from './sidecar-egress.ts';
import { serverTls } from './tls.ts';
import { connectionPool } from './traffic-policy.ts';

const blankEgress = EgressListener.create();
const blankIngress = IngressListener.create();
const blankScope = Scope.create();

const captureModes: Readonly<Record<IstioCaptureMode, CaptureMode>> = {
  [IstioCaptureMode.DEFAULT]: CaptureMode.CAPTURE_MODE_DEFAULT,
  [IstioCaptureMode.IPTABLES]: CaptureMode.CAPTURE_MODE_IPTABLES,
  [IstioCaptureMode.NONE]: CaptureMode.CAPTURE_MODE_NONE,
  [IstioCaptureMode.UNRECOGNIZED]: CaptureMode.UNRECOGNIZED,
};

export const sidecarKind: Kind<Sidecar> = {
  apiVersions,
  kind: 'Sidecar',
  namespaced: true,
  indexes: { [defaultIndex]: defaultNamespaces },
  decode: istioDecoder({
    typeName: 'istio.networking.v1alpha3.Sidecar',
    codec: Sidecar,
    check: checkSidecar,
  }),
  emit,
};

function emit(read: Reader, world: World, object: SourceObject<Sidecar>): Emission {
  const { spec, ref } = object;
  const { namespace, name } = ref;
  const scope: Scope = {
    ...blankScope,
    workloadSelector: spec.workloadSelector?.labels ?? {},
    egress: spec.egress.map(egress),
    ingress: spec.ingress.map(ingress),
    outboundMode: outboundMode(spec.outboundTrafficPolicy),
    createdMs: object.createdMs,
    inboundConnectionPool: connectionPool(spec.inboundConnectionPool),
  };
  const key = configKey({ cluster: world.settings.cluster, kind: 'scope', namespace, name });
  const event = { object: { $case: 'scope' as const, value: scope } };
  const problems = [
    ...lostDefault(read, object, world.index(sidecarKind, defaultIndex)),
    ...emptyEgress(read, world, object, ownNamespace(world, object)),
  ];
  return { events: [{ topic: 'config', key, event }], problems };
}

function outboundMode(policy: OutboundTrafficPolicy | undefined): OutboundMode | undefined {
  if (policy === undefined) return undefined;
  return policy.mode === OutboundTrafficPolicy_Mode.ALLOW_ANY
    ? OutboundMode.OUTBOUND_MODE_ALLOW_ANY
    : OutboundMode.OUTBOUND_MODE_REGISTRY_ONLY;
}

function egress(from: IstioEgressListener): EgressListener {
  // `.` stays: that of the root namespace means each client's own.
  const hosts = new Map(
    from.hosts.map(egressHost).map((host) => [`${host.namespace}/${host.host}`, host]),
  );
  return {
    ...blankEgress,
    port: from.port?.number ?? 0,
    protocol: protocolOf(from.port?.protocol),
    portName: from.port?.name ?? '',
    bind: from.bind,
    captureMode: captureModes[from.captureMode],
    hosts: [...hosts].sort(([a], [b]) => byCodeUnit(a, b)).map(([, host]) => host),
  };
}

function ingress(from: IstioIngressListener): IngressListener {
  return {
    ...blankIngress,
    port: from.port?.number ?? 0,
    protocol: protocolOf(from.port?.protocol),
    portName: from.port?.name ?? '',
    bind: from.bind,
    captureMode: captureModes[from.captureMode],
    defaultEndpoint: from.defaultEndpoint,
    tls: serverTls(from.tls),
  };
}

function protocolOf(text: string | undefined): Protocol {
  return parseProtocol(text ?? '') ?? Protocol.PROTOCOL_AUTO;
}
