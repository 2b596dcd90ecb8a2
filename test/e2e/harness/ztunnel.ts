/** A delta client that asks as ztunnel asks, ACKs all, and keeps what it was sent. */
import { Client, credentials, type ClientDuplexStream } from '@grpc/grpc-js';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { Authorization } from '@watershed/proto/istio/workloadapi/security/authorization.ts';
import { Address } from '@watershed/proto/istio/workloadapi/workload.ts';
import { typeUrls } from '@watershed/proto/any.ts';
import { untilQuiet, type Quiet } from './wait.ts';

const path = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
export const { address, authorization } = typeUrls;

const node = {
  id: 'ztunnel~127.0.0.1~ztunnel-abc.istio-system~istio-system.svc.cluster.local',
  metadata: { NAMESPACE: 'istio-system', POD_NAME: 'ztunnel-abc' },
};

interface Held {
  readonly version: string;
  readonly aliases: readonly string[];
  readonly body: Uint8Array;
}

/** Names that a response brought and took away. */
export interface Told {
  readonly typeUrl: string;
  readonly names: readonly string[];
  readonly removed: readonly string[];
}

export class ZtunnelClient {
  readonly told: Told[] = [];
  readonly #held = new Map<string, Map<string, Held>>();
  readonly #onDemand: boolean;
  #client: Client | undefined;
  #call: ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse> | undefined;

  constructor(how: { readonly onDemand?: boolean } = {}) {
    this.#onDemand = how.onDemand === true;
  }

  /** Policies are never on demand; versions of all that it holds go along. */
  connect({ host, port }: { readonly host: string; readonly port: number }): void {
    this.#client = new Client(`${host}:${port}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    const call = this.#client.makeBidiStreamRequest(
      path,
      (message: DeltaDiscoveryRequest) =>
        Buffer.from(DeltaDiscoveryRequest.encode(message).finish()),
      (bytes: Buffer) => DeltaDiscoveryResponse.decode(bytes),
    );
    call.on('data', (response: DeltaDiscoveryResponse) => this.#take(response));
    call.on('error', () => undefined);
    this.#call = call;
    const star = this.#onDemand ? ['*'] : [];
    this.#send({ typeUrl: address, node, ...names(star, star), ...this.#versions(address) });
    this.#send({ typeUrl: authorization, ...this.#versions(authorization) });
  }

  disconnect(): void {
    this.#call?.cancel();
    this.#client?.close();
  }

  ask(...wanted: readonly string[]): void {
    this.#send({ typeUrl: address, ...names(wanted, []) });
  }

  /** Sorted. */
  names(typeUrl: string): readonly string[] {
    return [...this.#of(typeUrl).keys()].sort();
  }

  aliases(name: string): readonly string[] | undefined {
    return this.#of(address).get(name)?.aliases;
  }

  workload(name: string) {
    const held = this.#of(address).get(name);
    const type = held === undefined ? undefined : Address.decode(held.body).type;
    return type?.$case === 'workload' ? type.value : undefined;
  }

  policy(name: string): Authorization | undefined {
    const held = this.#of(authorization).get(name);
    return held === undefined ? undefined : Authorization.decode(held.body);
  }

  /** What it is told from now on: something, until nothing has come for a while. */
  async during(work: () => Promise<void> | void): Promise<readonly Told[]> {
    return await this.#told(work, { quietMs: 500, least: 1 });
  }

  /** The same, where nothing at all may come. */
  async silently(work: () => Promise<void> | void, quietMs = 700): Promise<readonly Told[]> {
    return await this.#told(work, { quietMs, least: 0 });
  }

  async #told(work: () => Promise<void> | void, quiet: Quiet): Promise<readonly Told[]> {
    const from = this.told.length;
    await work();
    await untilQuiet('the responses', () => this.told.length - from, quiet);
    return this.told.slice(from);
  }

  #versions(typeUrl: string): Partial<DeltaDiscoveryRequest> {
    const versions = [...this.#of(typeUrl)].map(([name, { version }]) => [name, version]);
    return { initialResourceVersions: Object.fromEntries(versions) };
  }

  #take(response: DeltaDiscoveryResponse): void {
    const { typeUrl, nonce, resources, removedResources: removed } = response;
    const held = this.#of(typeUrl);
    for (const { name, version, aliases, resource } of resources) {
      held.set(name, { version, aliases, body: resource?.value ?? new Uint8Array() });
    }
    for (const name of removed) held.delete(name);
    this.told.push({ typeUrl, names: resources.map(({ name }) => name).sort(), removed });
    this.#send({ typeUrl, responseNonce: nonce });
  }

  #of(typeUrl: string): Map<string, Held> {
    let found = this.#held.get(typeUrl);
    if (found === undefined) this.#held.set(typeUrl, (found = new Map()));
    return found;
  }

  #send(request: Parameters<typeof DeltaDiscoveryRequest.fromPartial>[0]): void {
    this.#call?.write(DeltaDiscoveryRequest.fromPartial(request));
  }
}

function names(
  subscribe: readonly string[],
  unsubscribe: readonly string[],
): Pick<DeltaDiscoveryRequest, 'resourceNamesSubscribe' | 'resourceNamesUnsubscribe'> {
  return {
    resourceNamesSubscribe: [...subscribe],
    resourceNamesUnsubscribe: [...unsubscribe],
  };
}
