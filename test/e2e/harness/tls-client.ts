import { request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { Answer } from '../../components/clients.ts';

export interface TlsAsk {
  readonly port: number;
  /** SNI and `Host`. */
  readonly host: string;
  /** PEM: who may have signed the server's certificate. */
  readonly ca: string;
  readonly path?: string;
}

export interface TlsAnswer extends Answer {
  /** The server's certificate, as its subject's common name. */
  readonly commonName: string;
}

/** One HTTP/1.1 request over TLS to 127.0.0.1; a server that cannot be verified is an error. */
export function askTls({ port, host, ca, path = '/' }: TlsAsk): Promise<TlsAnswer> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        ...{ host: '127.0.0.1', port, path, ca, servername: host, agent: false },
        headers: { host },
        timeout: 10_000,
      },
      (response) => {
        const { subject } = (response.socket as TLSSocket).getPeerCertificate();
        const commonName = [subject.CN].flat().join(', ');
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        response.once('error', reject);
        response.once('end', () => {
          const headers: Record<string, string> = {};
          for (const [name, value] of Object.entries(response.headers)) {
            if (value !== undefined) headers[name] = [value].flat().join(', ');
          }
          resolve({ status: response.statusCode ?? 0, headers, body, commonName });
        });
      },
    );
    call.once('timeout', () => call.destroy(new Error('no answer in time')));
    call.once('error', reject);
    call.end();
  });
}
