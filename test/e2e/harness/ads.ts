/**
 * A client that asks as Envoy asks (CDS, EDS of its clusters, LDS, RDS of its listeners), ACKs all,
 * and counts what it was sent. It can be cut off at any message, which Envoy cannot.
 */
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { resourceTypes } from '@watershed/proto/any.ts';
import { Cluster } from '@watershed/proto/envoy/config/cluster/v3/cluster.ts';
import { ClusterLoadAssignment } from '@watershed/proto/envoy/config/endpoint/v3/endpoint.ts';
import { Listener } from '@watershed/proto/envoy/config/listener/v3/listener.ts';
import { RouteConfiguration } from '@watershed/proto/envoy/config/route/v3/route.ts';
import { HttpConnectionManager } from '@watershed/proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import type { Protocol } from './proxy.ts';
import { untilQuiet } from './wait.ts';

export const { cluster, endpoint, listener, route } = resourceTypes;
const wildcards: ReadonlySet<string> = new Set([cluster, listener]);

export interface AdsOptions {
  readonly port: number;
  readonly protocol: Protocol;
  readonly nodeId: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Looks at each response before it is taken; false: the connection is cut there. */
  readonly onResponse?: (response: Response) => boolean;
  /** The stream has ended, and not by `cut`. */
  readonly onEnd?: () => void;
}

export interface Response {
  readonly typeUrl: string;
  readonly bytes: number;
  readonly names: readonly string[];
  readonly removed: readonly string[];
}

interface Held {
  readonly version: string;
  readonly body: Uint8Array;
}

const paths = {
  sotw: '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
  delta: '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
} as const;

export class AdsClient {
  readonly #options: AdsOptions;
  /** By type, then name: what it holds; survives a reconnect, as Envoy's own does. */
  readonly #held = new Map<string, Map<string, Held>>();
  /** SotW: the version of each type that was ACKed last. */
  readonly #versions = new Map<string, string>();
  readonly responses: Response[] = [];
  #session: ClientHttp2Session | undefined;
  #stream: ClientHttp2Stream | undefined;
  /** Names asked for on this stream, by type. */
  #asked = new Map<string, ReadonlySet<string>>();
  #nonces = new Map<string, string>();
  #pending = Buffer.alloc(0);

  constructor(options: AdsOptions) {
    this.#options = options;
  }

  /** `port`: another one than it was told of at first. */
  connect(port = this.#options.port): void {
    this.#asked = new Map();
    this.#nonces = new Map();
    this.#pending = Buffer.alloc(0);
    const session = connect(`http://127.0.0.1:${port}`);
    session.on('error', () => undefined);
    const stream = session.request({
      ':method': 'POST',
      ':path': paths[this.#options.protocol],
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    stream.on('close', () => {
      if (this.#session !== session) return;
      this.cut();
      this.#options.onEnd?.();
    });
    this.#session = session;
    this.#stream = stream;
    this.#ask(cluster, []);
    // With something in hand it asks for all at once, as Envoy does when it comes back.
    if (this.#of(cluster).size > 0) {
      this.#ask(endpoint, this.#wantedEndpoints());
      this.#ask(listener, []);
      this.#ask(route, this.#wantedRoutes());
    }
  }

  /** Without a word. */
  cut(): void {
    this.#session?.destroy();
    this.#session = undefined;
  }

  /** Names that it holds of a type, sorted. */
  names(typeUrl: string): readonly string[] {
    return [...this.#of(typeUrl).keys()].sort();
  }

  /** The bytes of a resource that it holds. */
  body(typeUrl: string, name: string): Uint8Array | undefined {
    return this.#of(typeUrl).get(name)?.body;
  }

  /** Bytes of responses, of one type or of all, since `from` responses were there. */
  bytes(typeUrl?: string, from = 0): number {
    return this.responses
      .slice(from)
      .filter((response) => typeUrl === undefined || response.typeUrl === typeUrl)
      .reduce((sum, response) => sum + response.bytes, 0);
  }

  /** Resolves when it was answered (ever), and nothing has come for `quietMs`. */
  async settle(quietMs = 400): Promise<void> {
    await untilQuiet('the responses', () => this.responses.length, { quietMs, least: 1 });
  }

  #of(typeUrl: string): Map<string, Held> {
    let found = this.#held.get(typeUrl);
    if (found === undefined) this.#held.set(typeUrl, (found = new Map()));
    return found;
  }

  #receive(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    while (this.#session !== undefined && this.#pending.length >= 5) {
      const length = this.#pending.readUInt32BE(1);
      if (this.#pending.length < 5 + length) return;
      const message = this.#pending.subarray(5, 5 + length);
      this.#pending = this.#pending.subarray(5 + length);
      if (this.#options.protocol === 'delta') this.#takeDelta(message);
      else this.#takeSotw(message);
    }
  }

  #takeDelta(message: Buffer): void {
    const decoded = DeltaDiscoveryResponse.decode(message);
    const { typeUrl, nonce, removedResources } = decoded;
    const names = decoded.resources.map(({ name }) => name);
    if (!this.#saw({ typeUrl, bytes: message.length, names, removed: removedResources })) return;
    for (const { name, version, resource } of decoded.resources) {
      this.#of(typeUrl).set(name, { version, body: resource?.value ?? new Uint8Array() });
    }
    for (const name of removedResources) this.#of(typeUrl).delete(name);
    this.#send(
      DeltaDiscoveryRequest.encode(
        DeltaDiscoveryRequest.fromPartial({ typeUrl, responseNonce: nonce }),
      ).finish(),
    );
    this.#follow(typeUrl);
  }

  #takeSotw(message: Buffer): void {
    const { typeUrl, nonce, versionInfo, resources } = DiscoveryResponse.decode(message);
    const found = resources.map(({ value }) => ({ name: nameOf(typeUrl, value), body: value }));
    const names = found.map(({ name }) => name);
    const before = this.names(typeUrl);
    const removed = wildcards.has(typeUrl) ? before.filter((name) => !names.includes(name)) : [];
    if (!this.#saw({ typeUrl, bytes: message.length, names, removed })) return;
    for (const { name, body } of found) this.#of(typeUrl).set(name, { version: versionInfo, body });
    for (const name of removed) this.#of(typeUrl).delete(name);
    this.#versions.set(typeUrl, versionInfo);
    this.#nonces.set(typeUrl, nonce);
    this.#sendSotw(typeUrl);
    this.#follow(typeUrl);
  }

  #saw(response: Response): boolean {
    this.responses.push(response);
    if (this.#options.onResponse?.(response) !== false) return true;
    this.cut();
    return false;
  }

  /** Endpoints of the clusters that it has, tables of its listeners; LDS comes after CDS. */
  #follow(typeUrl: string): void {
    if (typeUrl === cluster) {
      this.#ask(endpoint, this.#wantedEndpoints());
      if (!this.#asked.has(listener)) this.#ask(listener, []);
    }
    if (typeUrl === listener) this.#ask(route, this.#wantedRoutes());
  }

  #wantedEndpoints(): readonly string[] {
    return [...this.#of(cluster).values()].flatMap(({ body }) => {
      const { name, edsClusterConfig } = Cluster.decode(body);
      if (edsClusterConfig === undefined) return [];
      return [edsClusterConfig.serviceName === '' ? name : edsClusterConfig.serviceName];
    });
  }

  #wantedRoutes(): readonly string[] {
    return [...new Set([...this.#of(listener).values()].flatMap(({ body }) => tablesOf(body)))];
  }

  #ask(typeUrl: string, names: readonly string[]): void {
    const before = this.#asked.get(typeUrl);
    const wanted = new Set(names);
    const isFirst = before === undefined;
    const added = names.filter((name) => before?.has(name) !== true);
    const gone = [...(before ?? [])].filter((name) => !wanted.has(name));
    if (added.length === 0 && gone.length === 0 && !(isFirst && wildcards.has(typeUrl))) return;
    this.#asked.set(typeUrl, wanted);
    for (const name of gone) this.#of(typeUrl).delete(name);
    if (this.#options.protocol === 'sotw') {
      this.#sendSotw(typeUrl);
      return;
    }
    const versions = [...this.#of(typeUrl)].map(([name, { version }]) => [name, version]);
    this.#send(
      DeltaDiscoveryRequest.encode(
        DeltaDiscoveryRequest.fromPartial({
          ...this.#node(typeUrl),
          typeUrl,
          resourceNamesSubscribe: added,
          resourceNamesUnsubscribe: gone,
          ...(isFirst ? { initialResourceVersions: Object.fromEntries(versions) } : {}),
        }),
      ).finish(),
    );
  }

  #sendSotw(typeUrl: string): void {
    this.#send(
      DiscoveryRequest.encode(
        DiscoveryRequest.fromPartial({
          ...this.#node(typeUrl),
          typeUrl,
          versionInfo: this.#versions.get(typeUrl) ?? '',
          responseNonce: this.#nonces.get(typeUrl) ?? '',
          resourceNames: [...(this.#asked.get(typeUrl) ?? [])],
        }),
      ).finish(),
    );
  }

  #node(typeUrl: string): { node?: { id: string; metadata: Record<string, unknown> } } {
    const { nodeId, metadata } = this.#options;
    return typeUrl === cluster ? { node: { id: nodeId, metadata: { ...metadata } } } : {};
  }

  #send(body: Uint8Array): void {
    const frame = Buffer.alloc(5 + body.length);
    frame.writeUInt32BE(body.length, 1);
    frame.set(body, 5);
    this.#stream?.write(frame);
  }
}

function nameOf(typeUrl: string, body: Uint8Array): string {
  switch (typeUrl) {
    case cluster:
      return Cluster.decode(body).name;
    case endpoint:
      return ClusterLoadAssignment.decode(body).clusterName;
    case listener:
      return Listener.decode(body).name;
    case route:
      return RouteConfiguration.decode(body).name;
    default:
      throw new RangeError(`it did not ask for ${typeUrl}`);
  }
}

/** Names of the route tables that a listener asks for. */
function tablesOf(body: Uint8Array): readonly string[] {
  const decoded = Listener.decode(body);
  const chains = [...decoded.filterChains, decoded.defaultFilterChain];
  return chains
    .flatMap((chain) => chain?.filters ?? [])
    .flatMap(({ configType }) => {
      if (configType?.$case !== 'typedConfig') return [];
      if (!configType.value.typeUrl.endsWith('.HttpConnectionManager')) return [];
      const { routeSpecifier } = HttpConnectionManager.decode(configType.value.value);
      return routeSpecifier?.$case === 'rds' ? [routeSpecifier.value.routeConfigName] : [];
    });
}
