import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '@watershed/blob/digest.ts';
import { memoryBlobs } from '@watershed/blob/memory.ts';
import type { BlobStore } from '@watershed/blob/port.ts';
import { openEmbeddedLog } from '@watershed/log/embedded.ts';
import type { Log } from '@watershed/log/port.ts';
import { topicSpecs } from '@watershed/log/topics.ts';
import {
  Feedback,
  ManifestContent,
  XdsRecord,
  type ScopeClass,
  type Selectors,
  type SharedResource,
} from '@watershed/model/gen/record.ts';
import { partitionOf, topics, xdsKeys } from '@watershed/model/keys.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { Logging, type Logger } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { Readiness } from '@watershed/runtime/readiness.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { Cluster } from '@watershed/proto/envoy/config/cluster/v3/cluster.ts';
import { createPusher, type Pusher } from '../../src/app.ts';
import type { PusherOptions } from '../../src/pusher-options.ts';
import type { Content } from '../session/support.ts';

export const partitions = 2;

/** Writes to the topic `xds` what a translator would write: enough to drive a pusher. */
export class Translator {
  readonly log: Log;
  readonly blobs: BlobStore;
  /** Resources of which no blob is put. */
  readonly withheld = new Set<string>();
  #epoch = 0;
  readonly #written = new Map<string, string>();

  constructor(log: Log, blobs: BlobStore) {
    this.log = log;
    this.blobs = blobs;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** One epoch: these resources, listed by these scopes; absent ones are listed no more. */
  async publish(
    content: Content,
    scopes: Readonly<Record<string, ScopeClass>>,
    how: { readonly watermarks?: boolean } = {},
  ): Promise<void> {
    this.#epoch++;
    for (const [typeUrl, resources] of Object.entries(content)) {
      for (const [name, version] of Object.entries(resources)) {
        await this.resource(typeUrl, name, version);
      }
    }
    const types = Object.entries(content)
      .map(([typeUrl, resources]) => ({
        typeUrl,
        shared: Object.keys(resources)
          .sort()
          .map((name) => ({ name, variant: '' })),
        own: [],
        whole: false,
      }))
      .sort((a, b) => (a.typeUrl < b.typeUrl ? -1 : 1));
    const bytes = ManifestContent.encode({ types }).finish();
    const digest = digestOf(bytes);
    await this.blobs.put([{ digest, bytes }]);
    for (const [scope, scopeClass] of Object.entries(scopes)) {
      const value = { scope, content: Buffer.from(digest, 'hex'), scopeClass };
      await this.#put(scope, xdsKeys.manifest(scope), { $case: 'manifest', value });
    }
    if (how.watermarks !== false) await this.watermarks();
  }

  /** Says that every partition has passed the present epoch. */
  async watermarks(): Promise<void> {
    for (let partition = 0; partition < partitions; partition++) {
      const record = { $case: 'watermark', value: { partition, epoch: this.#epoch } } as const;
      await this.#append(partition, xdsKeys.watermark(partition), record, this.#epoch);
    }
  }

  async selectors(namespace: string, value: Selectors): Promise<void> {
    await this.#put(namespace, xdsKeys.selectors(namespace), { $case: 'selectors', value });
  }

  /** One record, if it differs from the last; endpoints bypass epochs. */
  async resource(typeUrl: string, name: string, version: string): Promise<void> {
    const key = xdsKeys.resource(typeUrl, name, '');
    if (this.#written.get(key) === version) return;
    this.#written.set(key, version);
    // The version is in the bytes, so that a client can tell.
    const bytes = Cluster.encode(Cluster.fromPartial({ name, altStatName: version })).finish();
    const digest = digestOf(bytes);
    if (!this.withheld.has(name)) await this.blobs.put([{ digest, bytes }]);
    const value: SharedResource = {
      typeUrl,
      name,
      variant: '',
      version: Buffer.from(digestOf(version), 'hex'),
      fragments: [Buffer.from(digest, 'hex')],
      size: bytes.length,
      refs: typeUrl === resourceTypes.cluster ? [name] : [],
      aliases: [],
      groups: [],
      inlined: [],
    };
    const epoch = typeUrl === resourceTypes.endpoint ? 0 : this.#epoch;
    await this.#put(name, key, { $case: 'resource', value }, epoch);
  }

  /** An epoch of one resource whose message is given, perhaps in parts. */
  async publishBytes(
    typeUrl: string,
    name: string,
    bytes: Uint8Array | readonly Uint8Array[],
    scopes: Readonly<Record<string, ScopeClass>>,
    aliases: readonly string[] = [],
  ): Promise<void> {
    const parts = bytes instanceof Uint8Array ? [bytes] : bytes;
    const blobs = parts.map((part) => ({ digest: digestOf(part), bytes: part }));
    const fragments = blobs.map(({ digest }) => Buffer.from(digest, 'hex'));
    await this.blobs.put(blobs);
    this.#epoch++;
    const value: SharedResource = {
      typeUrl,
      name,
      variant: '',
      version: Buffer.from(digestOf(fragments.join('')), 'hex'),
      fragments,
      size: parts.reduce((sum, part) => sum + part.length, 0),
      refs: [],
      aliases: [...aliases],
      groups: [],
      inlined: [],
    };
    this.#written.set(xdsKeys.resource(typeUrl, name, ''), 'given');
    await this.#put(name, xdsKeys.resource(typeUrl, name, ''), { $case: 'resource', value });
    this.#epoch--;
    await this.publish({ [typeUrl]: { [name]: 'given' } }, scopes);
  }

  async putWithheld(name: string, version: string): Promise<void> {
    const bytes = Cluster.encode(Cluster.fromPartial({ name, altStatName: version })).finish();
    await this.blobs.put([{ digest: digestOf(bytes), bytes }]);
  }

  /** All that was said on the topic `feedback`, newest per key. */
  async feedback(): Promise<ReadonlyMap<string, Feedback>> {
    const said = new Map<string, Feedback>();
    const signal = AbortSignal.timeout(5_000);
    for await (const batch of this.log.read(topics.feedback, 0, undefined, signal)) {
      for (const { key, value } of batch.records) {
        if (value === undefined) said.delete(key);
        else said.set(key, Feedback.decode(value));
      }
      if (batch.caughtUp) break;
    }
    return said;
  }

  #put(by: string, key: string, record: XdsRecord['record'], epoch = this.#epoch): Promise<void> {
    return this.#append(partitionOf(by, partitions), key, record, epoch);
  }

  async #append(
    partition: number,
    key: string,
    record: XdsRecord['record'],
    epoch: number,
  ): Promise<void> {
    const value = XdsRecord.encode({ record, epoch }).finish();
    await this.log.append([{ topic: topics.xds, partition, key, value }]);
  }
}

/** A pusher on a real log, with a real listener. */
export interface Running {
  readonly pusher: Pusher;
  readonly translator: Translator;
  readonly blobs: BlobStore;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  readonly logs: string[];
  readonly dir: string;
  readonly port: number;
  stop(): Promise<void>;
}

export interface RunOptions extends Partial<Omit<PusherOptions, 'log' | 'options'>> {
  /** Beside those of tests. */
  readonly options?: Partial<PusherOptions['options']>;
  /** Replaces what the pusher sees of the log. */
  readonly log?: Partial<Log>;
  /** Selectors of all namespaces; `undefined`: none are written. */
  readonly selectors?: Selectors | undefined;
  /** Goes on with what another run left. */
  readonly dir?: string;
  readonly keepDir?: boolean;
}

export async function run(options: RunOptions = {}): Promise<Running> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'pusher-'));
  const log = await openEmbeddedLog({ dir: join(dir, 'log'), time: systemTime });
  const blobs = options.blobs ?? memoryBlobs();
  await log.ensureTopics(topicSpecs({ shards: partitions }));
  const translator = new Translator(log, blobs);
  if (!('selectors' in options)) await translator.selectors('', { labelKeys: [], locality: false });
  else if (options.selectors !== undefined) await translator.selectors('', options.selectors);
  await translator.watermarks();
  const logs: string[] = [];
  const metrics = new Metrics();
  const { readiness = new Readiness() } = options;
  const pusher = createPusher({
    blobs,
    partitions,
    name: 'test',
    time: systemTime,
    logger: loggerInto(logs),
    metrics,
    tracing: noTracing,
    readiness,
    drainMs: 0,
    ...options,
    log: faulty(log, options.log),
    options: {
      grpcAddr: { host: '127.0.0.1', port: 0 },
      debounceAfterMs: 10,
      debounceMaxMs: 1_000,
      edsDebounce: false,
      pushThrottle: 0,
      maxRequestsPerSecond: 0,
      ...options.options,
    },
  });
  await pusher.start();
  return {
    pusher,
    translator,
    blobs,
    metrics,
    readiness,
    logs,
    dir,
    port: Number(pusher.address.split(':').at(-1)),
    stop: async () => {
      await pusher.stop(AbortSignal.timeout(2_000));
      await log.close();
      if (options.keepDir !== true) rmSync(dir, { recursive: true, force: true });
    },
  };
}

function faulty(log: Log, faults: Partial<Log> = {}): Log {
  return {
    ensureTopics: (specs) => log.ensureTopics(specs),
    append: (records) => log.append(records),
    read: (...args) => log.read(...args),
    end: (...args) => log.end(...args),
    close: () => log.close(),
    ...faults,
  };
}

export function loggerInto(lines: string[]): Logger {
  return new Logging({
    scopes: ['pusher'],
    levels: 'all:debug',
    json: true,
    clock: systemTime,
    write: (line) => lines.push(line),
  }).scope('pusher');
}

/** Waits until something is true, at most 10 s. */
export async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = Date.now() + 10_000;
  while (!(await isTrue())) {
    if (Date.now() > endMs) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
}
