import type { TlsOptions as NodeTlsOptions } from 'node:tls';
import type { ServerLimits, TlsOptions } from './port.ts';

/** In Node's words. */
export function tlsOptions(
  tls: TlsOptions,
  limits: Pick<ServerLimits, 'handshakeMs'>,
): NodeTlsOptions {
  const { key, cert, clientCa } = tls;
  return {
    key,
    cert,
    minVersion: 'TLSv1.2',
    // A client that connects and then says nothing holds a socket so long, not node's two minutes.
    handshakeTimeout: limits.handshakeMs,
    // A client without a certificate may still have a token: whoever needs an identity asks for it.
    ...(clientCa === undefined
      ? {}
      : { ca: clientCa, requestCert: true, rejectUnauthorized: false }),
  };
}
