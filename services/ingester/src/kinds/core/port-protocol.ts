import { Protocol } from '@watershed/model/gen/model.ts';
import { parseProtocol } from '../common/protocol.ts';

/**
 * SMTP, DNS, MySQL, MongoDB: their servers speak first, so a proxy that waits to see the protocol
 * breaks them.
 */
const serversFirst = new Set([25, 53, 3306, 27_017]);

const kubernetesNames: Readonly<Record<string, Protocol>> = {
  'kubernetes.io/h2c': Protocol.PROTOCOL_HTTP2,
  'kubernetes.io/ws': Protocol.PROTOCOL_HTTP,
  'kubernetes.io/wss': Protocol.PROTOCOL_HTTPS,
};

/**
 * What a port speaks, by Istio's rules (istio.io: "Protocol Selection"; istiod's
 * kube.ConvertProtocol): the appProtocol, else the port's name up to its first "-", else it is
 * sniffed.
 */
export function portProtocol(port: {
  readonly port: number;
  readonly name: string;
  readonly protocol: string;
  readonly appProtocol: string | undefined;
}): Protocol {
  if (port.protocol === 'UDP') return Protocol.PROTOCOL_UDP;
  const { appProtocol } = port;
  if (appProtocol !== undefined && Object.hasOwn(kubernetesNames, appProtocol)) {
    return kubernetesNames[appProtocol] ?? Protocol.PROTOCOL_AUTO;
  }
  const name = (appProtocol ?? port.name).toLowerCase();
  if (name.startsWith('grpc-web')) return Protocol.PROTOCOL_GRPC_WEB;
  const known = parseProtocol(name.split('-')[0] ?? '');
  if (known !== undefined) return known;
  return serversFirst.has(port.port) ? Protocol.PROTOCOL_TCP : Protocol.PROTOCOL_AUTO;
}
