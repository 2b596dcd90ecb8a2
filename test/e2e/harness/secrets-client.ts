import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import { resourceTypes } from '@watershed/proto/any.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';

export interface SecretsClientOptions {
  readonly port: number;
  /** PEM, as are the client's own. */
  readonly roots: string;
  readonly certificate: string;
  readonly key: string;
  readonly node: { readonly id: string; readonly metadata: Record<string, unknown> };
}

/** Asks for secrets over mutual TLS, in delta, and keeps what it was sent. */
export class SecretsClient {
  readonly responses: DeltaDiscoveryResponse[] = [];
  readonly #options: SecretsClientOptions;
  readonly #session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;
  #pending = Buffer.alloc(0);

  constructor(options: SecretsClientOptions) {
    this.#options = options;
    const { port, roots: ca, certificate: cert, key } = options;
    this.#session = connect(`https://127.0.0.1:${port}`, { ca, cert, key });
    this.#session.on('error', () => undefined);
    this.#stream = this.#session.request({
      ':method': 'POST',
      ':path': '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    this.#stream.on('error', () => undefined);
    this.#stream.on('data', (chunk: Buffer) => this.#receive(chunk));
  }

  /** The common name of what a TLS listener shows. */
  static shownCertificate(port: number, roots: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connectTls({ port, host: '127.0.0.1', ca: roots, ALPNProtocols: ['h2'] });
      socket.once('error', reject);
      socket.once('secureConnect', () => {
        resolve([socket.getPeerCertificate().subject.CN].flat().join(', '));
        socket.destroy();
      });
    });
  }

  subscribe(name: string): void {
    this.#send({ node: this.#options.node, resourceNamesSubscribe: [name] });
  }

  close(): void {
    this.#session.destroy();
  }

  #receive(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length >= 5) {
      const length = this.#pending.readUInt32BE(1);
      if (this.#pending.length < 5 + length) return;
      const response = DeltaDiscoveryResponse.decode(this.#pending.subarray(5, 5 + length));
      this.#pending = this.#pending.subarray(5 + length);
      this.responses.push(response);
      this.#send({ responseNonce: response.nonce });
    }
  }

  #send(more: Parameters<typeof DeltaDiscoveryRequest.fromPartial>[0]): void {
    const request = DeltaDiscoveryRequest.fromPartial({ typeUrl: resourceTypes.secret, ...more });
    const bytes = DeltaDiscoveryRequest.encode(request).finish();
    const head = Buffer.alloc(5);
    head.writeUInt32BE(bytes.length, 1);
    this.#stream.write(Buffer.concat([head, bytes]));
  }
}
