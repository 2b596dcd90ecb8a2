import {
  Client,
  credentials,
  Metadata,
  type ClientDuplexStream,
  type StatusObject,
} from '@grpc/grpc-js';
import { Cluster } from '@watershed/proto/envoy/config/cluster/v3/cluster.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import type { MessageFns } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';

const ads = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
const streamAds = `${ads}/StreamAggregatedResources`;
export const deltaAds = `${ads}/DeltaAggregatedResources`;

export const nodeId = 'sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local';

export function node(id = nodeId, metadata: Record<string, unknown> = {}) {
  return { id, metadata };
}

/** A gRPC stream by the reference library. */
class Stream<Request, Response> {
  readonly responses: Response[] = [];
  status: StatusObject | undefined;
  readonly #client: Client;
  readonly #call: ClientDuplexStream<Request, Response>;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(
    port: number,
    path: string,
    codecs: { readonly request: MessageFns<Request>; readonly response: MessageFns<Response> },
    by = credentials.createInsecure(),
    token = '',
  ) {
    const metadata = new Metadata();
    if (token !== '') metadata.set('authorization', `Bearer ${token}`);
    this.#client = new Client(`127.0.0.1:${port}`, by, {
      'grpc.max_receive_message_length': -1,
      // One connection per client.
      'grpc.use_local_subchannel_pool': 1,
    });
    this.#call = this.#client.makeBidiStreamRequest(
      path,
      (message: Request) => Buffer.from(codecs.request.encode(message).finish()),
      (bytes: Buffer) => codecs.response.decode(bytes),
      metadata,
    );
    this.#call.on('data', (response: Response) => {
      this.responses.push(response);
      this.#wake();
    });
    this.#call.on('status', (status) => {
      this.status = status;
      this.#wake();
    });
    this.#call.on('error', () => undefined);
  }

  send(request: Request): void {
    this.#call.write(request);
  }

  /** The next response; an error when the stream ends first, or after 10 s. */
  async next(): Promise<Response> {
    const endMs = Date.now() + 10_000;
    for (;;) {
      const response = this.responses[this.#taken];
      if (response !== undefined) {
        this.#taken++;
        return response;
      }
      if (this.status !== undefined) {
        throw new Error(`ended: ${this.status.code} ${this.status.details}`);
      }
      if (Date.now() > endMs) throw new Error('no response in time');
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        setTimeout(resolve, 100);
      });
    }
  }

  /** Whether nothing comes for a while. */
  async quiet(forMs = 100): Promise<boolean> {
    await new Promise((resolve) => {
      setTimeout(resolve, forMs);
    });
    return this.responses.length === this.#taken;
  }

  async ended(): Promise<StatusObject> {
    const endMs = Date.now() + 5_000;
    while (this.status === undefined) {
      if (Date.now() > endMs) throw new Error('the stream does not end');
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        setTimeout(resolve, 100);
      });
    }
    return this.status;
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  halfClose(): void {
    this.#call.end();
  }

  close(): void {
    this.#call.cancel();
    this.#client.close();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

export class DeltaClient extends Stream<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
  #first = true;
  readonly #node: { id: string; metadata: Record<string, unknown> };

  constructor(
    port: number,
    of = node(),
    path = deltaAds,
    by = credentials.createInsecure(),
    token = '',
  ) {
    const codecs = { request: DeltaDiscoveryRequest, response: DeltaDiscoveryResponse };
    super(port, path, codecs, by, token);
    this.#node = of;
  }

  request(typeUrl: string, more: Partial<DeltaDiscoveryRequest> = {}): void {
    const first = this.#first ? { node: this.#node } : {};
    this.#first = false;
    this.send(DeltaDiscoveryRequest.fromPartial({ ...first, typeUrl, ...more }));
  }

  ack({ typeUrl, nonce }: DeltaDiscoveryResponse): void {
    this.request(typeUrl, { responseNonce: nonce });
  }

  nack({ typeUrl, nonce }: DeltaDiscoveryResponse, message: string): void {
    const errorDetail = { code: 13, message, details: [] };
    this.request(typeUrl, { responseNonce: nonce, errorDetail });
  }
}

export class SotwClient extends Stream<DiscoveryRequest, DiscoveryResponse> {
  #first = true;
  readonly #node: { id: string; metadata: Record<string, unknown> };

  constructor(port: number, of = node(), path = streamAds) {
    super(port, path, { request: DiscoveryRequest, response: DiscoveryResponse });
    this.#node = of;
  }

  request(
    typeUrl: string,
    resourceNames: string[] = [],
    more: Partial<DiscoveryRequest> = {},
  ): void {
    const first = this.#first ? { node: this.#node } : {};
    this.#first = false;
    this.send(DiscoveryRequest.fromPartial({ ...first, typeUrl, resourceNames, ...more }));
  }

  ack({ typeUrl, nonce, versionInfo }: DiscoveryResponse, names: string[] = []): void {
    this.request(typeUrl, names, { responseNonce: nonce, versionInfo });
  }
}

/** Name → version, as the test's translator wrote it into the bytes. */
export function contentOf(
  response: DeltaDiscoveryResponse | DiscoveryResponse,
): Record<string, string> {
  const content: Record<string, string> = {};
  for (const one of response.resources) {
    const any = 'typeUrl' in one ? one : one.resource;
    const { name, altStatName } = Cluster.decode(any?.value ?? new Uint8Array(0));
    content[name] = altStatName;
  }
  return content;
}
