/**
 * A sidecar as far as the control plane can tell: one TCP connection, one delta ADS stream,
 * wildcard CDS and LDS, EDS for each cluster, RDS for each route table; it ACKs everything at
 * once.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { resourceTypes } from '@watershed/proto/any.ts';
import { DeltaDiscoveryRequest } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { Listener } from '@watershed/proto/envoy/config/listener/v3/listener.ts';
import { HttpConnectionManager } from '@watershed/proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import { fieldsOf, textOf } from './protobuf.ts';

export interface ClientOptions {
  readonly host: string;
  readonly port: number;
  /** Of the client's end, so that one address pair's ports are not used up. */
  readonly localAddress: string;
  readonly nodeId: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly namespace: string;
  readonly onMessage: (client: DeltaClient, message: Message) => void;
  readonly onClosed: (client: DeltaClient, why: string) => void;
}

export interface Message {
  readonly typeUrl: string;
  readonly bytes: number;
  readonly resources: number;
  readonly removed: number;
}

type Versions = Map<string, string>;

const { cluster, endpoint, listener, route } = resourceTypes;
const grpcPath = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';

export class DeltaClient {
  readonly #options: ClientOptions;
  /** What it holds by type: survives reconnects, as Envoy's own does. */
  readonly #held = new Map<string, Versions>(
    [cluster, endpoint, listener, route].map((type) => [type, new Map()]),
  );
  #session: ClientHttp2Session | undefined;
  #stream: ClientHttp2Stream | undefined;
  #asked = new Set<string>();
  #pending: Buffer[] = [];
  #pendingBytes = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  connect(): void {
    const { host, port, localAddress } = this.#options;
    const session = connect(`http://${host}:${port}`, {
      createConnection: () => connectTcp({ host, port, localAddress, keepAlive: false }),
      settings: { initialWindowSize: 16 << 20 },
    });
    session.on('connect', () => session.setLocalWindowSize(16 << 20));
    session.on('error', (error) => this.#options.onClosed(this, error.message));
    const stream = session.request({
      ':method': 'POST',
      ':path': grpcPath,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    stream.on('error', (error) => this.#options.onClosed(this, error.message));
    stream.on('close', () => this.#options.onClosed(this, 'closed'));
    this.#session = session;
    this.#stream = stream;
    this.#asked = new Set();
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#subscribe(cluster, [], true);
    if (this.#versions(cluster).size > 0) this.#resume();
  }

  /** Cuts the connection without a word; what it holds stays. */
  cut(): void {
    this.#stream?.removeAllListeners('close');
    this.#session?.destroy();
  }

  /** As Envoy does: everything at once, with the versions that it holds. */
  #resume(): void {
    this.#subscribe(endpoint, [...this.#versions(endpoint).keys()], true);
    this.#subscribe(listener, [], true);
    this.#subscribe(route, [...this.#versions(route).keys()], true);
  }

  #versions(type: string): Versions {
    return this.#held.get(type) ?? new Map<string, string>();
  }

  #receive(chunk: Buffer): void {
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    while (this.#pendingBytes >= 5) {
      if ((this.#pending[0]?.length ?? 0) < 5) this.#pending = [Buffer.concat(this.#pending)];
      const length = (this.#pending[0] ?? Buffer.alloc(5)).readUInt32BE(1);
      if (this.#pendingBytes < 5 + length) return;
      const all = this.#pending.length === 1 ? this.#pending[0] : Buffer.concat(this.#pending);
      if (all === undefined) return;
      this.#pending = all.length > 5 + length ? [all.subarray(5 + length)] : [];
      this.#pendingBytes = all.length - 5 - length;
      this.#handle(all.subarray(5, 5 + length));
    }
  }

  #handle(message: Buffer): void {
    let typeUrl = '';
    let nonce = '';
    const resources: Uint8Array[] = [];
    const removed: string[] = [];
    for (const { number, bytes } of fieldsOf(message)) {
      if (number === 2) resources.push(bytes);
      else if (number === 4) typeUrl = textOf(bytes);
      else if (number === 5) nonce = textOf(bytes);
      else if (number === 6) removed.push(textOf(bytes));
    }
    const versions = this.#versions(typeUrl);
    const added: string[] = [];
    const tables: string[] = [];
    for (const resource of resources) {
      const { name, version, body } = resourceOf(resource);
      if (!versions.has(name)) added.push(name);
      versions.set(name, version);
      if (typeUrl === listener && body !== undefined) tables.push(...tablesOf(body));
    }
    for (const name of removed) versions.delete(name);
    this.#send({ typeUrl, responseNonce: nonce });
    this.#follow(typeUrl, added, removed, tables);
    this.#options.onMessage(this, {
      typeUrl,
      bytes: message.length,
      resources: resources.length,
      removed: removed.length,
    });
  }

  /** New clusters want endpoints, new tables routes; LDS follows CDS. */
  #follow(type: string, added: string[], removed: string[], tables: string[]): void {
    if (type === cluster) {
      const wanted = added.filter((name) => name.startsWith('outbound|'));
      const gone = removed.filter((name) => this.#versions(endpoint).delete(name));
      if (wanted.length > 0 || gone.length > 0) this.#subscribe(endpoint, wanted, false, gone);
      if (!this.#asked.has(listener)) this.#subscribe(listener, [], true);
    }
    if (type === listener) {
      const wanted = tables.filter((name) => !this.#versions(route).has(name));
      if (wanted.length > 0) this.#subscribe(route, [...new Set(wanted)], false);
    }
  }

  #subscribe(typeUrl: string, names: string[], resume: boolean, gone: string[] = []): void {
    const first = !this.#asked.has(typeUrl);
    this.#asked.add(typeUrl);
    this.#send({
      typeUrl,
      resourceNamesSubscribe: names,
      resourceNamesUnsubscribe: gone,
      ...(resume && first
        ? { initialResourceVersions: Object.fromEntries(this.#versions(typeUrl)) }
        : {}),
    });
  }

  #send(request: Parameters<typeof DeltaDiscoveryRequest.fromPartial>[0]): void {
    const { nodeId, labels, namespace } = this.#options;
    const first = request.typeUrl === cluster && request.responseNonce === undefined;
    const node = { id: nodeId, metadata: { LABELS: labels, NAMESPACE: namespace } };
    const body = DeltaDiscoveryRequest.encode(
      DeltaDiscoveryRequest.fromPartial(first ? { ...request, node } : request),
    ).finish();
    const frame = Buffer.allocUnsafe(5 + body.length);
    frame.writeUInt8(0, 0);
    frame.writeUInt32BE(body.length, 1);
    frame.set(body, 5);
    this.#stream?.write(frame);
  }
}

interface ResourceView {
  readonly name: string;
  readonly version: string;
  readonly body: Uint8Array | undefined;
}

function resourceOf(resource: Uint8Array): ResourceView {
  let name = '';
  let version = '';
  let body: Uint8Array | undefined;
  for (const { number, bytes } of fieldsOf(resource)) {
    if (number === 3) name = textOf(bytes);
    else if (number === 1) version = textOf(bytes);
    else if (number === 2) {
      for (const any of fieldsOf(bytes)) if (any.number === 2) body = any.bytes;
    }
  }
  return { name, version, body };
}

/** All clients get the same listeners: decode each once. */
const tablesByListener = new Map<string, readonly string[]>();

function tablesOf(body: Uint8Array): readonly string[] {
  const key = Buffer.from(body).toString('latin1');
  const known = tablesByListener.get(key);
  if (known !== undefined) return known;
  const tables: string[] = [];
  const decoded = Listener.decode(body);
  const chains = [...decoded.filterChains, decoded.defaultFilterChain];
  for (const filter of chains.flatMap((chain) => chain?.filters ?? [])) {
    if (filter.configType?.$case !== 'typedConfig') continue;
    if (!filter.configType.value.typeUrl.endsWith('HttpConnectionManager')) continue;
    const manager = HttpConnectionManager.decode(filter.configType.value.value);
    if (manager.routeSpecifier?.$case === 'rds') {
      tables.push(manager.routeSpecifier.value.routeConfigName);
    }
  }
  if (tablesByListener.size > 10_000) tablesByListener.clear();
  tablesByListener.set(key, tables);
  return tables;
}
