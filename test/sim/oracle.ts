/** What must hold whatever fails: looked at after each thing that a client applies. */
import { hash } from 'node:crypto';
import { digestOf } from '@watershed/blob/digest.ts';
import { Fold } from '@watershed/log/fold.ts';
import type { LogRecord } from '@watershed/log/port.ts';
import { ManifestContent, XdsRecord, type SharedResource } from '@watershed/model/gen/record.ts';
import { topics, xdsKeys } from '@watershed/model/keys.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { privateNames, tenants, type Catalog } from './catalog.ts';
import type { SimBlobs } from './blobs.ts';
import type { Applied, Client } from './client.ts';
import type { SimPartition } from './log/store.ts';
import { generationsOf, isEmptyAssignment, targetsOf } from './resources.ts';

const { cluster, endpoint, route } = resourceTypes;

/** What a client knows of one thing that has generations. */
interface Seen {
  generation: number;
  /** It had it, and was told that it is gone. */
  gone: boolean;
  /** The pusher that told it. */
  server: string;
}

export interface OracleOptions {
  readonly blobs: SimBlobs;
  readonly catalog: Pick<Catalog, 'isSpoilt'>;
  /** Pushers wait as long as it takes. Else what a bounded wait breaks is counted. */
  readonly isPatient: boolean;
  /** A number of something that may happen, but not without being told of. */
  readonly count: (what: string) => void;
}

export class Violation extends Error {}

export class Oracle {
  readonly #options: OracleOptions;
  /** The valid records of the topic `xds`, as they are appended. */
  readonly #folds = new Map<number, Fold>();
  /** Content that the log has said: type, name, digest of its bytes. */
  readonly #said = new Set<string>();
  readonly #seen = new Map<Client, Map<string, Seen>>();
  /** The log was put back: what clients have may be newer, until all is well again. */
  #isBack = false;

  constructor(options: OracleOptions) {
    this.#options = options;
  }

  appended(partition: SimPartition, record: LogRecord): void {
    if (partition.topic.spec.name !== topics.xds) return;
    const fold = this.#folds.get(partition.index) ?? new Fold();
    this.#folds.set(partition.index, fold);
    const position = { topicId: partition.topic.id, offset: partition.next };
    for (const { value } of fold.apply({ records: [record], position, caughtUp: true })) {
      if (value !== undefined) this.#say(value);
    }
  }

  /** An old copy of the log is in its place. */
  wentBack(partitions: Iterable<SimPartition>): void {
    this.#isBack = true;
    this.#folds.clear();
    for (const partition of partitions) {
      for (const record of partition.records) this.appended(partition, record);
    }
  }

  /** All clients have what they should have. */
  settled(): void {
    this.#isBack = false;
    this.#seen.clear();
  }

  applied(client: Client, typeUrl: string, changes: readonly Applied[]): void {
    for (const { name, resource } of changes) {
      if (resource === undefined) {
        this.#gone(client, typeUrl, name, new Set());
        continue;
      }
      const { bytes } = resource;
      this.#isOwn(client, typeUrl, name, bytes);
      if (!this.#said.has(contentId(typeUrl, name, bytes))) {
        // The pusher's own word: a cluster without an assignment is gone, and the client warms it.
        if (typeUrl !== endpoint || !isEmptyAssignment(name, bytes) || !holds(client, name)) {
          throw new Violation(`${client.options.name} has ${name} as the log never said it`);
        }
        this.#options.count('seen: an empty assignment for who warms a cluster that is gone');
      }
      const generations = generationsOf(typeUrl, bytes);
      for (const [what, generation] of generations) this.#see(client, typeUrl, what, generation);
      this.#gone(client, typeUrl, name, new Set(generations.map(([what]) => what)));
    }
    if (typeUrl === cluster || typeUrl === route) this.#routable(client);
  }

  #say(value: Uint8Array): void {
    const { record } = XdsRecord.decode(value);
    if (record?.$case === 'resource') this.#sayResource(record.value);
    if (record?.$case !== 'manifest') return;
    const { types } = ManifestContent.decode(
      this.#bytesOf(record.value.scope, record.value.content),
    );
    for (const { own } of types) for (const resource of own) this.#sayResource(resource);
  }

  #sayResource({ typeUrl, name, fragments, inlined }: SharedResource): void {
    if (inlined.length > 0) {
      const digests = inlined.map((part) => digestOf(part)).join();
      const named = fragments.map((digest) => Buffer.from(digest).toString('hex')).join();
      if (digests !== named) throw new Violation(`${name} has other bytes than its digests say`);
    }
    const parts =
      inlined.length > 0 ? inlined : fragments.map((digest) => this.#bytesOf(name, digest));
    const bytes = Buffer.concat(parts);
    this.#said.add(contentId(typeUrl, name, bytes));
  }

  #bytesOf(what: string, digest: Uint8Array): Uint8Array {
    const bytes = this.#options.blobs.known.get(Buffer.from(digest).toString('hex'));
    if (bytes === undefined) throw new Violation(`${what} is on the log before its blob`);
    return bytes;
  }

  #isOwn(client: Client, typeUrl: string, name: string, bytes: Uint8Array): void {
    const text = Buffer.from(bytes).toString('latin1');
    for (const tenant of tenants) {
      if (tenant === client.options.tenant) continue;
      const found = privateNames(tenant).find((secret) => text.includes(secret));
      if (found === undefined) continue;
      throw new Violation(`${client.options.name} was sent ${found} in ${name} of ${typeUrl}`);
    }
  }

  #see(client: Client, typeUrl: string, what: string, generation: number): void {
    const all = this.#seen.get(client) ?? new Map<string, Seen>();
    this.#seen.set(client, all);
    const id = `${typeUrl} ${what}`;
    const seen = all.get(id);
    const { server } = client;
    all.set(id, { generation, gone: false, server });
    if (seen === undefined || this.#isBack) return;
    if (generation > seen.generation || (generation === seen.generation && !seen.gone)) return;
    // Endpoints are told of apart from the clusters that have them.
    if (generation === seen.generation && typeUrl === endpoint) return;
    if (server !== seen.server) {
      this.#options.count('seen: another replica was behind');
      return;
    }
    if (generation === seen.generation && !this.#options.isPatient) {
      this.#options.count('seen: what was there all the time was gone for a while');
      return;
    }
    // What a scope had lately is given to who cannot say what it has, until its routes have moved.
    if (generation === seen.generation && client.isResuming && client.options.mode === 'sotw') {
      this.#options.count('seen: a client without versions came back, and has what is gone');
      return;
    }
    // Variants are records of their own, not one update: who changes to another one may be there
    // before its last update is.
    if (typeUrl === endpoint && this.#variantsOf(what.split(' ')[0] ?? '') > 1) {
      this.#options.count('seen: another variant of an assignment was behind');
      return;
    }
    const { name } = client.options;
    const was = `${seen.generation}${seen.gone ? ' (gone)' : ''}`;
    throw new Violation(`${name} went back from ${was} to ${generation} of ${what} at ${server}`);
  }

  /** Of an assignment, on the log. */
  #variantsOf(name: string): number {
    const prefix = xdsKeys.resource(endpoint, name, '');
    const keys = [...this.#folds.values()].flatMap((fold) =>
      [...fold.entries()].filter(([key]) => key.startsWith(prefix)),
    );
    return keys.length;
  }

  /** What was in a resource and is no more. */
  #gone(client: Client, typeUrl: string, name: string, present: ReadonlySet<string>): void {
    for (const [id, seen] of this.#seen.get(client) ?? []) {
      const what = id.slice(typeUrl.length + 1);
      if (!id.startsWith(`${typeUrl} `) || present.has(what)) continue;
      if (what !== name && !what.startsWith(`${name} `)) continue;
      // Another replica may be behind, and not know it yet.
      if (seen.server === client.server) seen.gone = true;
      else this.#seen.get(client)?.delete(id);
    }
  }

  /**
   * Never a route to a cluster that the client does not have: clusters come before the routes to
   * them, and go after. It is only counted where that cannot be kept:
   *
   * - State of the world cannot say what a client holds. What was removed while it was away goes
   *   after the routes to it only as far as disk and blobs still tell (here there is no disk).
   * - Who does not wait for a late shard for ever serves what is there without what is not.
   * - The log was put back: what clients have is of a history that is lost.
   * - Users route to what was not there yet when its file could be read last.
   */
  #routable({ held, options, isResuming }: Client): void {
    const clusters = held.get(cluster);
    for (const [table, { bytes }] of held.get(route) ?? []) {
      for (const target of targetsOf(bytes)) {
        if (clusters?.has(target) === true) continue;
        const host = target.slice(target.lastIndexOf('|') + 1);
        const excuse = this.#isBack
          ? 'the log went back'
          : this.#options.catalog.isSpoilt(host)
            ? 'its file could not be read'
            : options.mode === 'sotw' && isResuming
              ? 'a client without versions came back'
              : this.#options.isPatient
                ? undefined
                : 'a bounded wait was over';
        if (excuse === undefined) {
          throw new Violation(`${options.name} routes to ${target}, which is absent, in ${table}`);
        }
        this.#options.count(`seen: a route to an absent cluster, as ${excuse}`);
      }
    }
  }
}

function holds({ held }: Client, name: string): boolean {
  return held.get(cluster)?.has(name) === true;
}

function contentId(typeUrl: string, name: string, bytes: Uint8Array): string {
  return `${typeUrl} ${name} ${hash('sha1', bytes)}`;
}
