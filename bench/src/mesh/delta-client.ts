/**
 * A sidecar as far as the control plane can tell: one TCP connection, one delta ADS stream,
 * wildcard CDS and LDS, EDS for each cluster, RDS for each route table; it ACKs everything at
 * once.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { resourceTypes } from '@watershed/proto/any.ts';
import { DeltaDiscoveryRequest } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { Held } from './held.ts';
import { type Message, MessageReader } from './messages.ts';

export interface ClientOptions {
  readonly host: string;
  readonly port: number;
  /** Of the client's end, so that one address pair's ports are not used up. */
  readonly localAddress: string;
  readonly nodeId: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly namespace: string;
  /** The server has answered the stream's request. */
  readonly onOpened: () => void;
  readonly onMessage: (client: DeltaClient, message: Message) => void;
  readonly onClosed: (client: DeltaClient, why: string) => void;
}

interface Subscription {
  readonly typeUrl: string;
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  /** The first of its type after a reconnect tells what the client has. */
  readonly initial: Held | undefined;
}

const { cluster, endpoint, listener, route } = resourceTypes;
const grpcPath = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
const prefixBytes = 5;
const windowBytes = 16 << 20;
const nothing = new Held();
const none: readonly string[] = [];
/** All clients of the process get the same messages. */
const reader = new MessageReader();

let clients = 0;

export class DeltaClient {
  readonly #number = ++clients;
  readonly #options: ClientOptions;
  /** What it holds by type: survives reconnects, as Envoy's own does. */
  readonly #held = new Map<string, Held>();
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
      settings: { initialWindowSize: windowBytes },
    });
    session.on('connect', () => session.setLocalWindowSize(windowBytes));
    session.on('error', (error) => this.#options.onClosed(this, error.message));
    const stream = session.request({
      ':method': 'POST',
      ':path': grpcPath,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('response', () => this.#options.onOpened());
    stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    stream.on('error', (error) => this.#options.onClosed(this, error.message));
    stream.on('close', () => this.#options.onClosed(this, 'closed'));
    this.#session = session;
    this.#stream = stream;
    this.#asked = new Set();
    this.#pending = [];
    this.#pendingBytes = 0;
    const first = this.#subscription(cluster, none);
    this.#write(Buffer.concat([this.#node(), encodeSubscription(first, this.#number)]));
    if (this.#of(cluster).versions.size > 0) this.#resume();
  }

  /** Cuts the connection without a word; what it holds stays. */
  cut(): void {
    this.#stream?.removeAllListeners('close');
    this.#session?.destroy();
  }

  /** As Envoy does: everything at once, with the versions that it holds. */
  #resume(): void {
    this.#subscribe(endpoint, namesOf(this.#of(endpoint)));
    this.#subscribe(listener, none);
    this.#subscribe(route, namesOf(this.#of(route)));
  }

  #of(type: string): Held {
    return this.#held.get(type) ?? nothing;
  }

  #receive(chunk: Buffer): void {
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    while (this.#pendingBytes >= prefixBytes) {
      if ((this.#pending[0]?.length ?? 0) < prefixBytes) {
        this.#pending = [Buffer.concat(this.#pending)];
      }
      const end = prefixBytes + (this.#pending[0]?.readUInt32BE(1) ?? 0);
      if (this.#pendingBytes < end) return;
      const all = this.#pending.length === 1 ? this.#pending[0] : Buffer.concat(this.#pending);
      if (all === undefined) return;
      this.#pending = all.length > end ? [all.subarray(end)] : [];
      this.#pendingBytes = all.length - end;
      this.#handle(reader.read(all.subarray(prefixBytes, end)));
    }
  }

  #handle(message: Message): void {
    const { typeUrl, nonce, tables } = message;
    const { held, added, gone } = this.#of(typeUrl).take(message);
    this.#held.set(typeUrl, held);
    this.#write(acknowledgement(typeUrl, nonce));
    if (typeUrl === cluster) this.#followClusters(added, gone);
    if (typeUrl === listener) {
      const routes = this.#of(route).versions;
      const known = tables.some((name) => routes.has(name));
      const wanted = known ? tables.filter((name) => !routes.has(name)) : tables;
      if (wanted.length > 0) this.#subscribe(route, wanted);
    }
    this.#options.onMessage(this, message);
  }

  /** New clusters want endpoints; LDS follows CDS. */
  #followClusters(added: readonly string[], gone: readonly string[]): void {
    const wanted = outboundOf(added);
    const assignments = this.#of(endpoint);
    const lost = gone.filter((name) => assignments.versions.has(name));
    const unwanted = lost.length === 0 ? none : lost;
    this.#held.set(endpoint, assignments.without(unwanted));
    if (wanted.length > 0 || unwanted.length > 0) this.#subscribe(endpoint, wanted, unwanted);
    if (!this.#asked.has(listener)) this.#subscribe(listener, none);
  }

  #subscribe(typeUrl: string, names: readonly string[], gone = none): void {
    this.#write(encodeSubscription(this.#subscription(typeUrl, names, gone), this.#number));
  }

  #subscription(typeUrl: string, subscribe: readonly string[], unsubscribe = none): Subscription {
    const initial = this.#asked.has(typeUrl) ? undefined : this.#of(typeUrl);
    this.#asked.add(typeUrl);
    return { typeUrl, subscribe, unsubscribe, initial };
  }

  /** A message is the concatenation of its fields: the node's is the client's own. */
  #node(): Uint8Array {
    const { nodeId, labels, namespace } = this.#options;
    const node = { id: nodeId, metadata: { LABELS: labels, NAMESPACE: namespace } };
    return encode({ node });
  }

  #write(body: Uint8Array): void {
    const frame = Buffer.allocUnsafe(prefixBytes + body.length);
    frame.writeUInt8(0, 0);
    frame.writeUInt32BE(body.length, 1);
    frame.set(body, prefixBytes);
    this.#stream?.write(frame);
  }
}

const namesOf = memo((held: Held): readonly string[] => [...held.versions.keys()]);
const outboundOf = memo((names: readonly string[]): readonly string[] =>
  names.filter((name) => name.startsWith('outbound|')),
);

function memo<K extends object, V>(compute: (of: K) => V): (of: K) => V {
  const known = new WeakMap<K, { readonly value: V }>();
  return (of) => {
    let found = known.get(of);
    if (found === undefined) known.set(of, (found = { value: compute(of) }));
    return found.value;
  };
}

/** Encoded fields, one per name or pair: a message is their concatenation. */
const subscribesOf = memo((names: readonly string[]): readonly Uint8Array[] =>
  names.map((name) => encode({ resourceNamesSubscribe: [name] })),
);
const unsubscribesOf = memo((names: readonly string[]): readonly Uint8Array[] =>
  names.map((name) => encode({ resourceNamesUnsubscribe: [name] })),
);
const initialsOf = memo((held: Held): readonly Uint8Array[] =>
  [...held.versions].map(([name, version]) =>
    encode({ initialResourceVersions: { [name]: version } }),
  ),
);

/**
 * Each client names things in an order of its own, as Envoy does: hash sets and maps tell theirs
 * in any order.
 */
function encodeSubscription(subscription: Subscription, client: number): Uint8Array {
  const { typeUrl, subscribe, unsubscribe, initial } = subscription;
  return Buffer.concat([
    encode({ typeUrl }),
    ...shuffled(subscribesOf(subscribe), client),
    ...shuffled(unsubscribesOf(unsubscribe), client),
    ...(initial === undefined ? [] : shuffled(initialsOf(initial), client)),
  ]);
}

/** Larger than any list, so that its multiples pass every place. */
const stride = 1_000_003;

function shuffled<T>(items: readonly T[], seed: number): readonly T[] {
  const { length } = items;
  const step = (seed + 1) * stride;
  // A step that shares a factor with the length would pass some places twice.
  if (length < 2 || greatestCommonDivisor(step % length, length) !== 1) return items;
  return items.map((item, at) => items[(at * (step % length)) % length] ?? item);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

const acknowledgements = new Map<string, Uint8Array>();

function acknowledgement(typeUrl: string, responseNonce: string): Uint8Array {
  const key = `${typeUrl} ${responseNonce}`;
  let encoded = acknowledgements.get(key);
  if (encoded === undefined) {
    encoded = encode({ typeUrl, responseNonce });
    acknowledgements.set(key, encoded);
  }
  return encoded;
}

function encode(request: Parameters<typeof DeltaDiscoveryRequest.fromPartial>[0]): Uint8Array {
  return DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(request)).finish();
}
