/** A translator on a real embedded log, with time and the blob store in the test's hands. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Blob, BlobStore, Digest } from '@watershed/blob/port.ts';
import { scopeId } from '@watershed/blob/scope-id.ts';
import { openEmbeddedLog } from '@watershed/log/embedded.ts';
import type { EmbeddedLog } from '@watershed/log/embedded.ts';
import { Fold } from '@watershed/log/fold.ts';
import type { PartitionGroup } from '@watershed/log/group.ts';
import type { Append, Log, LogError } from '@watershed/log/port.ts';
import { Endpoints, Event, Policy, Route, Scope, Service } from '@watershed/model/gen/model.ts';
import { Feedback, ManifestContent, ScopeClass, XdsRecord } from '@watershed/model/gen/record.ts';
import type { SharedResource } from '@watershed/model/gen/record.ts';
import { configKey, endpointsKey, partitionOf, topics, xdsKeys } from '@watershed/model/keys.ts';
import type { ConfigKind } from '@watershed/model/keys.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { Readiness } from '@watershed/runtime/readiness.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import type { Tracing } from '@watershed/runtime/tracing.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { createTranslator } from '../../../src/app.ts';
import type { Translator, TranslatorOptions } from '../../../src/app.ts';
import { digestText } from '../../../src/bytes.ts';
import type { PlansOf } from '../../../src/plan.ts';
import { testPlans } from './plans.ts';

export const partitions = 2;
export const graceMs = 60_000;

/** What happened outside of the translator, in order. */
export type Step =
  | { readonly did: 'put'; readonly digests: readonly Digest[] }
  | { readonly did: 'append'; readonly records: readonly Append[] };

/** A blob store in memory that can forget, and that notes when it was put to. */
export class TestBlobs implements BlobStore {
  readonly shared = false;
  reached?: Promise<void>;
  readonly held = new Map<Digest, Uint8Array>();
  readonly #steps: Step[];
  /** How many calls fail before one succeeds. */
  failing = 0;

  constructor(steps: Step[]) {
    this.#steps = steps;
  }

  async put(blobs: readonly Blob[]): Promise<void> {
    if (this.failing-- > 0) throw new Error('the blob store is away');
    for (const { digest, bytes } of blobs) this.held.set(digest, bytes);
    this.#steps.push({ did: 'put', digests: blobs.map((blob) => blob.digest) });
  }

  async get(digests: readonly Digest[]): Promise<readonly (Uint8Array | undefined)[]> {
    return digests.map((digest) => this.held.get(digest));
  }

  async retain(live: ReadonlySet<Digest>): Promise<void> {
    for (const digest of this.held.keys()) if (!live.has(digest)) this.held.delete(digest);
  }

  async close(): Promise<void> {}
}

export const noLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  fatal: () => {},
  enabled: () => false,
  with: () => noLogger,
};

export interface WorldOptions {
  readonly plans?: PlansOf;
  readonly tracing?: Tracing;
  readonly mutant?: TranslatorOptions['mutant'];
  readonly cacheEntries?: number;
  readonly assertion?: TranslatorOptions['assertion'];
  readonly retainMs?: number;
  readonly group?: PartitionGroup;
  readonly logger?: Logger;
  /** What is between the translator and the log. */
  readonly through?: (log: Log) => Log;
}

export class World {
  readonly #dir: string;
  readonly #options: WorldOptions;
  readonly #virtual: VirtualTime;
  readonly time: Time;
  readonly steps: Step[] = [];
  readonly blobs: TestBlobs;
  readonly log: EmbeddedLog;
  readonly fatal: unknown[] = [];
  /** What the next appends to xds fail with, and the next readings of any topic. */
  readonly failing: { appends: LogError[]; reads: LogError[] } = { appends: [], reads: [] };
  metrics = new Metrics();
  readiness = new Readiness();
  #translator: Translator | undefined;
  readonly #others: Translator[] = [];

  private constructor(
    dir: string,
    log: EmbeddedLog,
    time: Time,
    virtual: VirtualTime,
    options: WorldOptions,
  ) {
    this.#dir = dir;
    this.#options = options;
    this.#virtual = virtual;
    this.log = log;
    this.time = time;
    this.blobs = new TestBlobs(this.steps);
  }

  static async open(options: WorldOptions = {}): Promise<World> {
    const dir = mkdtempSync(join(tmpdir(), 'translator-'));
    const virtual = new VirtualTime();
    const time: Time = {
      now: () => virtual.now(),
      monotonic: () => virtual.monotonic(),
      after: (delayMs, callback) => virtual.after(delayMs, callback),
      soon: (callback) => systemTime.soon(callback),
    };
    const log = await openEmbeddedLog({ dir, time });
    const retention = { kind: 'compact', tombstoneMs: 86_400_000 } as const;
    await log.ensureTopics([
      { name: topics.config, partitions: 1, retention },
      { name: topics.endpoints, partitions, retention },
      { name: topics.xds, partitions, retention },
      { name: topics.feedback, partitions: 1, retention },
    ]);
    return new World(dir, log, time, virtual, options);
  }

  get translator(): Translator {
    if (this.#translator === undefined) throw new Error('the translator is not started');
    return this.#translator;
  }

  /** Starts a translator (again), as a process of its own would. */
  async start(options: WorldOptions = {}): Promise<void> {
    this.metrics = new Metrics();
    this.readiness = new Readiness();
    const { readiness } = this;
    this.#translator = this.#create(options, this.metrics, readiness);
    await this.#translator.start();
    await readiness.whenReady();
    await this.quiet();
  }

  /** Starts a second one beside the first; it is stopped when the world is closed. */
  async startAnother(options: WorldOptions): Promise<void> {
    const readiness = new Readiness();
    const other = this.#create(options, new Metrics(), readiness);
    this.#others.push(other);
    await other.start();
    await readiness.whenReady();
    await this.quiet();
  }

  #create(options: WorldOptions, metrics: Metrics, readiness: Readiness): Translator {
    const all = { ...this.#options, ...options };
    const log = this.#recorded();
    return createTranslator({
      log: all.through?.(log) ?? log,
      blobs: this.blobs,
      partitions,
      writer: 'test',
      plans: all.plans ?? ((inputs) => testPlans(inputs)),
      time: this.time,
      logger: all.logger ?? noLogger,
      metrics,
      tracing: all.tracing ?? noTracing,
      readiness,
      cacheEntries: all.cacheEntries ?? 1_000,
      assertion: all.assertion ?? 'always',
      graceMs,
      retainMs: all.retainMs ?? 0,
      onFatal: (error) => this.fatal.push(error),
      ...(all.mutant === undefined ? {} : { mutant: all.mutant }),
      ...(all.group === undefined ? {} : { group: all.group }),
    });
  }

  async stop(): Promise<void> {
    await this.#translator?.stop();
    this.#translator = undefined;
  }

  async restart(options: WorldOptions = {}): Promise<void> {
    await this.stop();
    await this.start(options);
  }

  async close(): Promise<void> {
    await this.stop();
    for (const other of this.#others) await other.stop();
    await this.log.close();
    rmSync(this.#dir, { recursive: true });
  }

  /** Lets time pass. */
  advance(ms: number): Promise<void> {
    return this.#virtual.advance(ms);
  }

  /** Lets time pass, and whatever it brings about happen. */
  async pass(ms: number): Promise<void> {
    await this.advance(ms);
    await this.quiet();
  }

  /** Resolves when the translator has read all there is and done what follows from it. */
  async quiet(): Promise<void> {
    for (let calm = 0; calm < 3;) {
      await this.translator.engine.idle();
      calm = (await this.translator.lag()) === 0 ? calm + 1 : 0;
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
  }

  /** Appends to `config` or `endpoints` as an ingester would, and waits for what follows. */
  async write(...appends: readonly Append[]): Promise<void> {
    await this.log.append(appends);
    if (this.#translator !== undefined) await this.quiet();
  }

  async demand(scopeClass: ScopeClass, pusher = 'p', forMs = 3_600_000): Promise<string> {
    const scope = scopeId(scopeClass);
    const expiresMs = this.time.now() + forMs;
    const report = { $case: 'demand', value: { scope, scopeClass, expiresMs } } as const;
    const value = Feedback.encode({ report }).finish();
    const key = `d|${pusher}|${scope}`;
    await this.write({ topic: topics.feedback, partition: 0, key, value });
    return scope;
  }

  /** A pusher tells that it is there. */
  async pusher(name: string, readsInlined: boolean, forMs = 3_600_000): Promise<void> {
    const expiresMs = this.time.now() + forMs;
    const value = { address: name, streams: 0, scopes: 0, expiresMs, readsInlined };
    const report = Feedback.encode({ report: { $case: 'pusher', value } }).finish();
    await this.write({ topic: topics.feedback, partition: 0, key: `p|${name}`, value: report });
  }

  async ask(digests: readonly Digest[]): Promise<void> {
    const bytes = digests.map((digest) => Buffer.from(digest, 'hex'));
    const report = { $case: 'missing', value: { digests: bytes } } as const;
    const value = Feedback.encode({ report }).finish();
    await this.write({ topic: topics.feedback, partition: 0, key: 'b|p', value });
  }

  /** What the log's last valid appends say, by key; with offsets, to compare orders. */
  async outputs(): Promise<Map<string, XdsRecord & { at: string }>> {
    const held = new Map<string, XdsRecord & { at: string }>();
    for (let partition = 0; partition < partitions; partition++) {
      const fold = await this.#folded(partition);
      for (const [key, value] of fold.entries()) {
        held.set(key, { ...XdsRecord.decode(value), at: `${partition}` });
      }
    }
    return new Map([...held].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  async #folded(partition: number): Promise<Fold> {
    const fold = new Fold();
    const stop = new AbortController();
    for await (const batch of this.log.read(topics.xds, partition, undefined, stop.signal)) {
      fold.apply(batch);
      if (batch.caughtUp) break;
    }
    return fold;
  }

  /** Outputs without epochs: what any process makes of the same inputs. */
  async content(): Promise<Record<string, unknown>> {
    const outputs = await this.outputs();
    return Object.fromEntries(
      [...outputs].flatMap(([key, { record }]) =>
        record?.$case === 'watermark' ? [] : [[key, record]],
      ),
    );
  }

  async resource(typeUrl: string, name: string): Promise<SharedResource | undefined> {
    const record = (await this.outputs()).get(xdsKeys.resource(typeUrl, name, ''))?.record;
    return record?.$case === 'resource' ? record.value : undefined;
  }

  /** The JSON that the test generators made of a resource. */
  async read(typeUrl: string, name: string): Promise<unknown> {
    const resource = await this.resource(typeUrl, name);
    return resource && this.decode(resource);
  }

  decode(resource: SharedResource): unknown {
    const parts = resource.fragments.map((digest) => this.blobs.held.get(digestText(digest)));
    const texts = parts.map((part) => (part ? new TextDecoder().decode(part) : 'missing'));
    return texts.length === 1 ? JSON.parse(texts[0] ?? '') : texts;
  }

  async manifest(scope: string): Promise<ManifestContent | undefined> {
    const record = (await this.outputs()).get(xdsKeys.manifest(scope))?.record;
    if (record?.$case !== 'manifest') return undefined;
    const bytes = this.blobs.held.get(digestText(record.value.content));
    return bytes && ManifestContent.decode(bytes);
  }

  /** Records appended to xds since the last call, the owner's own bookkeeping left out. */
  takeAppended(): readonly string[] {
    const keys = this.steps.flatMap((step) =>
      step.did === 'append' ? step.records.map((record) => record.key) : [],
    );
    this.steps.length = 0;
    return keys.filter((key) => !key.startsWith('!'));
  }

  #recorded(): Log {
    const { log, steps, failing } = this;
    return {
      ensureTopics: (specs) => log.ensureTopics(specs),
      append: async (records) => {
        const failure = failing.appends.shift();
        if (failure !== undefined) throw failure;
        if (records[0]?.topic === topics.xds) steps.push({ did: 'append', records });
        return log.append(records);
      },
      async *read(topic, partition, from, signal) {
        for await (const batch of log.read(topic, partition, from, signal)) {
          const failure = topic === topics.xds ? undefined : failing.reads.shift();
          if (failure !== undefined) throw failure;
          yield batch;
        }
      },
      end: (topic, partition) => log.end(topic, partition),
      close: () => log.close(),
    };
  }
}

type EventObject = NonNullable<Event['object']>;

function config(kind: ConfigKind, namespace: string, name: string, object?: EventObject): Append {
  const key = configKey({ cluster: 'c', kind, namespace, name });
  return { topic: topics.config, partition: 0, key, value: object && encode(object) };
}

function encode(object: EventObject): Uint8Array {
  return Event.encode({ object }).finish();
}

export function source(synced = true, name = 'files'): Append {
  return config('source', '', name, { $case: 'source', value: { synced } });
}

export interface ServiceSpec {
  readonly host: string;
  readonly port?: number;
  readonly exportTo?: readonly string[];
  readonly gone?: boolean;
}

export function service({ host, port = 80, exportTo = ['*'], gone = false }: ServiceSpec): Append {
  const value = Service.fromPartial({
    host,
    namespace: 'shop',
    name: host,
    ports: [{ number: port, name: 'http' }],
    exportTo: [...exportTo],
  });
  return config('service', 'shop', host, gone ? undefined : { $case: 'service', value });
}

export function policy(host: string, connectTimeoutMs?: number): Append {
  const traffic = { connectionPool: { connectTimeoutMs } };
  const value = Policy.fromPartial({ host, exportTo: ['*'], traffic });
  const object = connectTimeoutMs === undefined ? undefined : { $case: 'policy' as const, value };
  return config('policy', 'shop', host, object);
}

export function route(name: string, target: string | undefined, namespace = 'shop'): Append {
  const backend = { host: target ?? '', port: 80, weight: 1 };
  const value = Route.fromPartial({
    hosts: [`${name}.test`],
    rules: [{ action: { $case: 'forward', value: { backends: [backend] } } }],
  });
  const object = target === undefined ? undefined : { $case: 'route' as const, value };
  return config('route', namespace, name, object);
}

export function sidecar(namespace: string, label: string | undefined): Append {
  const value = Scope.fromPartial({ workloadSelector: { [label ?? '']: 'x' } });
  const object = label === undefined ? undefined : { $case: 'scope' as const, value };
  return config('scope', namespace, 'default', object);
}

export function endpoints(host: string, ...addresses: readonly string[]): Append {
  const key = endpointsKey({ host, cluster: 'c', kind: 'slice', namespace: 'shop', name: host });
  const list = addresses.map((address) => ({ address }));
  const value = Endpoints.fromPartial({ host, namespace: 'shop', endpoints: list });
  const object: EventObject = { $case: 'endpoints', value };
  return {
    topic: topics.endpoints,
    partition: partitionOf(host, partitions),
    key,
    value: addresses.length === 0 ? undefined : encode(object),
  };
}

export function scopeClass(namespace: string): ScopeClass {
  return ScopeClass.fromPartial({ namespace });
}
