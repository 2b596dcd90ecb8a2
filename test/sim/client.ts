/**
 * A proxy: aggregated discovery over delta or state of the world, CDS and EDS before LDS and RDS,
 * an ACK for each response after a while. What it holds outlives its streams, as Envoy's does.
 */
import { resourceTypes } from '@watershed/proto/any.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import type { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { homes, type Tenant } from './catalog.ts';
import { nameOf, tablesOf } from './resources.ts';
import type { ClientCall, SimNetwork } from './network.ts';

const { cluster, endpoint, listener, route } = resourceTypes;
export const order = [cluster, endpoint, listener, route] as const;
const service = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

export interface Resource {
  /** Of delta; empty over state of the world. */
  readonly version: string;
  readonly bytes: Uint8Array;
}

export interface ClientOptions {
  readonly name: string;
  readonly tenant: Tenant;
  readonly mode: 'delta' | 'sotw';
  readonly time: VirtualTime;
  readonly network: SimNetwork;
  /** Which pusher to connect to next. */
  readonly choose: () => string;
  /** How long it takes to apply a response, or to connect again. */
  readonly thinkMs: () => number;
  /** It has applied a response: what changed, by type and name. */
  readonly onApplied: (client: Client, typeUrl: string, changes: readonly Applied[]) => void;
}

export interface Applied {
  readonly name: string;
  /** `undefined`: it is gone. */
  readonly resource: Resource | undefined;
}

interface Response {
  readonly typeUrl: string;
  readonly nonce: string;
  /** State of the world. */
  readonly version: string;
  readonly resources: readonly (readonly [name: string, resource: Resource])[];
  /** Delta. */
  readonly removed: readonly string[];
}

export class Client {
  readonly options: ClientOptions;
  readonly held = new Map<string, Map<string, Resource>>(order.map((type) => [type, new Map()]));
  /** The pusher of the present stream. */
  server = '';
  /** The present stream has not told it of routes yet. */
  isResuming = false;
  /** How many streams it has had. */
  streams = 0;
  /** Names that it asks for, of the types that are asked for by name. */
  readonly #wanted = new Map<string, Set<string>>([
    [endpoint, new Set()],
    [route, new Set()],
  ]);
  /** Types that this stream has asked for. */
  readonly #asked = new Set<string>();
  /** Over state of the world: of the last response that was applied. */
  readonly #versions = new Map<string, string>();
  readonly #nonces = new Map<string, string>();
  #call: ClientCall | undefined;

  constructor(options: ClientOptions) {
    this.options = options;
  }

  connect(): void {
    const { network, choose, mode } = this.options;
    const stream = ++this.streams;
    const isPresent = (): boolean => stream === this.streams;
    this.server = choose();
    this.isResuming = true;
    this.#asked.clear();
    this.#nonces.clear();
    const path = `${service}/${mode === 'delta' ? 'Delta' : 'Stream'}AggregatedResources`;
    let readyMs = 0;
    this.#call = network.call(this.server, path, {
      message: (bytes) => {
        const { time, thinkMs } = this.options;
        // One after the other, whatever each takes.
        readyMs = Math.max(readyMs, time.monotonic() + thinkMs());
        time.after(readyMs - time.monotonic(), () => {
          if (isPresent()) this.#apply(this.#decode(bytes));
        });
      },
      closed: () => {
        if (isPresent()) this.reconnect();
      },
    });
    this.#ask(cluster, true);
    if (this.streams === 1 || order.every((type) => this.#of(type).size === 0)) return;
    // As Envoy does: everything at once. One that has lost its clusters has its listeners still.
    for (const type of [endpoint, listener, route]) this.#ask(type);
  }

  /** The stream is over; another one follows. */
  reconnect(): void {
    this.#call?.cut();
    this.#call = undefined;
    const stream = ++this.streams;
    this.options.time.after(50 + 10 * this.options.thinkMs(), () => {
      if (stream === this.streams) this.connect();
    });
  }

  #of(typeUrl: string): Map<string, Resource> {
    const held = this.held.get(typeUrl);
    if (held === undefined) throw new RangeError(`${typeUrl} was not asked for`);
    return held;
  }

  #decode(bytes: Uint8Array): Response {
    if (this.options.mode === 'delta') {
      const { typeUrl, nonce, resources, removedResources } = DeltaDiscoveryResponse.decode(bytes);
      const given = resources.map(({ name, version, resource }): Response['resources'][number] => [
        name,
        { version, bytes: resource?.value ?? new Uint8Array(0) },
      ]);
      return { typeUrl, nonce, version: '', resources: given, removed: removedResources };
    }
    const { typeUrl, nonce, versionInfo, resources } = DiscoveryResponse.decode(bytes);
    const given = resources.map(({ value }): Response['resources'][number] => [
      nameOf(typeUrl, value),
      { version: '', bytes: value },
    ]);
    return { typeUrl, nonce, version: versionInfo, resources: given, removed: [] };
  }

  #apply(response: Response): void {
    const { typeUrl, nonce, version, resources } = response;
    const held = this.#of(typeUrl);
    const changes: Applied[] = [];
    const wanted = this.#wanted.get(typeUrl);
    for (const [name, resource] of resources) {
      // Asked for when it was sent, and not any more: there is nobody to take it (as in Envoy).
      if (wanted?.has(name) === false) continue;
      held.set(name, resource);
      changes.push({ name, resource });
    }
    for (const name of this.#goneBy(response)) {
      if (held.delete(name)) changes.push({ name, resource: undefined });
    }
    if (typeUrl === route) this.isResuming = false;
    this.#nonces.set(typeUrl, nonce);
    this.#versions.set(typeUrl, version);
    this.options.onApplied(this, typeUrl, changes);
    if (this.options.mode === 'delta') this.#send({ typeUrl, responseNonce: nonce });
    else this.#ask(typeUrl);
    if (typeUrl === cluster) this.#follow(endpoint, [...held.keys()].filter(isOutbound));
    if (typeUrl === cluster && !this.#asked.has(listener)) this.#ask(listener);
    if (typeUrl === listener) {
      const tables = [...held.values()].flatMap(({ bytes }) => tablesOf(bytes));
      this.#follow(route, tables);
    }
  }

  #goneBy({ typeUrl, resources, removed }: Response): readonly string[] {
    if (this.options.mode === 'delta') return removed;
    if (typeUrl !== cluster && typeUrl !== listener) return [];
    const given = new Set(resources.map(([name]) => name));
    return [...this.#of(typeUrl).keys()].filter((name) => !given.has(name));
  }

  /** From now on these are asked for; what is not is dropped. */
  #follow(typeUrl: string, names: readonly string[]): void {
    const before = this.#wanted.get(typeUrl) ?? new Set();
    const wanted = new Set(names);
    this.#wanted.set(typeUrl, wanted);
    const added = [...wanted].filter((name) => !before.has(name));
    const gone = [...before].filter((name) => !wanted.has(name));
    for (const name of gone) this.#of(typeUrl).delete(name);
    const isNew = !this.#asked.has(typeUrl);
    if (!isNew && added.length + gone.length === 0) return;
    if (isNew || this.options.mode === 'sotw') this.#ask(typeUrl);
    else {
      const names = { resourceNamesSubscribe: added, resourceNamesUnsubscribe: gone };
      this.#send({ typeUrl, ...names });
    }
  }

  /** Delta: the first request of a type. State of the world: each one, an ACK too. */
  #ask(typeUrl: string, first = false): void {
    const names = [...(this.#wanted.get(typeUrl) ?? [])];
    const isNamed = this.#wanted.has(typeUrl);
    if (isNamed && names.length === 0 && !this.#asked.has(typeUrl)) return;
    this.#asked.add(typeUrl);
    const node = first ? this.#node() : undefined;
    if (this.options.mode === 'delta') {
      const held = [...this.#of(typeUrl)].map(([name, { version }]) => [name, version]);
      const initialResourceVersions: Record<string, string> = Object.fromEntries(held);
      this.#send({ node, typeUrl, resourceNamesSubscribe: names, initialResourceVersions });
      return;
    }
    const request = DiscoveryRequest.fromPartial({
      ...(node === undefined ? {} : { node }),
      typeUrl,
      resourceNames: names,
      versionInfo: this.#versions.get(typeUrl) ?? '',
      responseNonce: this.#nonces.get(typeUrl) ?? '',
    });
    this.#call?.send(DiscoveryRequest.encode(request).finish());
  }

  #send(request: Parameters<typeof DeltaDiscoveryRequest.fromPartial>[0]): void {
    this.#call?.send(
      DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(request)).finish(),
    );
  }

  #node(): { id: string; metadata: Record<string, unknown> } {
    const { name, tenant } = this.options;
    const id = `sidecar~10.9.0.1~${name}.${tenant}~${tenant}.svc.cluster.local`;
    const metadata = { NAMESPACE: tenant, LABELS: { app: name }, CLUSTER_ID: homes[tenant] };
    return { id, metadata };
  }
}

function isOutbound(name: string): boolean {
  return name.startsWith('outbound|');
}
