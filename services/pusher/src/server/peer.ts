import type { Socket } from 'node:net';
import { TLSSocket, type PeerCertificate } from 'node:tls';
import { uriNames } from './peer-names.ts';
import type { Peer } from './port.ts';

/** Who is at the other end of a socket. */
export function peerOf(socket: Socket | TLSSocket): Peer {
  const address = socket.remoteAddress ?? '';
  const port = socket.remotePort ?? 0;
  const secure = socket instanceof TLSSocket;
  if (!secure) return { address, port, secure, identities: [], certificateProblem: '' };
  const { subjectaltname, raw } = certificateOf(socket);
  const refused = raw !== undefined && !socket.authorized;
  return {
    address,
    port,
    secure,
    identities: socket.authorized ? uriNames(subjectaltname ?? '') : [],
    certificateProblem: refused ? String(socket.authorizationError) : '',
  };
}

/** Node gives an empty object where there is none. */
function certificateOf(socket: TLSSocket): Partial<PeerCertificate> {
  return socket.getPeerCertificate();
}
