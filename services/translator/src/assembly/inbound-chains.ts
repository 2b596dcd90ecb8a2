/**
 * Which connections to a workload's port are let in, and as what: by the mode of mutual TLS and the
 * port's protocol (istiod's pilot/pkg/networking/core/filterchain_options.go).
 */
import type { WayIn } from '../generators/way-in.ts';

export type MtlsMode = 'disable' | 'permissive' | 'strict';

/** What a port speaks; `auto`: to be found out. */
export type InboundProtocol = 'http' | 'tcp' | 'auto';

/** What the client's sidecar says in its TLS hello of what follows. */
const meshHttp = ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'];
const meshTcp = ['istio-peer-exchange', 'istio'];
const mesh = ['istio', 'istio-peer-exchange', 'istio-http/1.0', 'istio-http/1.1', 'istio-h2'];
const plainHttp = ['http/1.1', 'h2c'];

function option(
  protocols: readonly string[],
  transport: 'tls' | 'raw_buffer',
  as: 'http' | 'tcp',
  endsTls: boolean,
): WayIn {
  return {
    ...(protocols.length === 0 ? {} : { protocols }),
    transport,
    http: as === 'http',
    endsTls,
  };
}

const options: Readonly<Record<MtlsMode, Readonly<Record<InboundProtocol, readonly WayIn[]>>>> = {
  permissive: {
    http: [option(mesh, 'tls', 'http', true), option([], 'raw_buffer', 'http', false)],
    tcp: [
      option(mesh, 'tls', 'tcp', true),
      option([], 'tls', 'tcp', false),
      option([], 'raw_buffer', 'tcp', false),
    ],
    auto: [
      option(meshHttp, 'tls', 'http', true),
      option(plainHttp, 'raw_buffer', 'http', false),
      option(meshTcp, 'tls', 'tcp', true),
      option([], 'raw_buffer', 'tcp', false),
      option([], 'tls', 'tcp', false),
    ],
  },
  strict: {
    http: [option([], 'tls', 'http', true)],
    tcp: [option([], 'tls', 'tcp', true)],
    auto: [option(meshHttp, 'tls', 'http', true), option([], 'tls', 'tcp', true)],
  },
  disable: {
    http: [option([], 'raw_buffer', 'http', false)],
    tcp: [option([], 'raw_buffer', 'tcp', false)],
    auto: [option(plainHttp, 'raw_buffer', 'http', false), option([], 'raw_buffer', 'tcp', false)],
  },
};

/** By precedence of Envoy's own: the order does not matter. */
export function waysIn(mode: MtlsMode, protocol: InboundProtocol): readonly WayIn[] {
  return options[mode][protocol];
}
