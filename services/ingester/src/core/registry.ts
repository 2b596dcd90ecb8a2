/**
 * The kinds that the ingester knows, and the world that their emitters read: one collection and one
 * emit query per kind, in one graph of recorded reads.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Collection, Index } from '@watershed/derive/collection.ts';
import type { Graph, Query, Reader } from '@watershed/derive/graph.ts';
import { Event } from '@watershed/model/gen/model.ts';
import type {
  Emission,
  Emitted,
  Kind,
  ObjectRef,
  Problem,
  RawObject,
  SourceObject,
  SourceSettings,
  World,
} from '../kind.ts';
import { problem } from './diagnostics.ts';
import { decodeMetadata, type Identity } from './metadata.ts';
import { Refused } from './refused.ts';

/** One event as bytes: what is compared and appended. */
export interface EncodedEvent {
  readonly topic: Emitted['topic'];
  readonly key: string;
  readonly value: Uint8Array;
}

export interface EncodedEmission {
  readonly events: readonly EncodedEvent[];
  readonly problems: readonly Problem[];
  readonly createdMs: number;
}

export function isEmission(value: unknown): value is EncodedEmission {
  return typeof value === 'object' && value !== null && 'events' in value && 'createdMs' in value;
}

export interface DecodeOutcome {
  /** Absent: it was refused. */
  readonly accepted?: { readonly changed: boolean };
  readonly problems: readonly Problem[];
}

/** A kind with its type put away: what the core needs to handle objects of any kind. */
export interface Installed {
  /** Empty for Kubernetes' core group. */
  readonly group: string;
  readonly kind: string;
  readonly apiVersions: readonly string[];
  readonly namespaced: boolean;
  readonly readsStatus: boolean;
  readonly partRead: Kind<unknown>['partRead'];
  readonly isSecret: boolean;
  readonly emission: Query<string, EncodedEmission>;
  /** Decodes an object and, unless it is refused, makes it the current value of its key. */
  accept(key: string, identity: Identity, raw: RawObject): DecodeOutcome;
  /**
   * Has others told that it is there, as it is written, and was refused; unless it has a value.
   */
  refuse(key: string, identity: Identity, raw: RawObject): void;
  remove(key: string): void;
}

/** A kind of some type, for lists of kinds of different types. */
export interface Registration {
  install(world: KindWorld): Installed;
}

/** `emit`: in place of the kind's own, where it reads kinds that read this one. */
export function register<T>(kind: Kind<T>, emit: Kind<T>['emit'] = kind.emit): Registration {
  return { install: (world) => world.install(kind, emit) };
}

export function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf('/');
  return slash < 0 ? '' : apiVersion.slice(0, slash);
}

/** The key of an object in its kind's collection: `namespace/name`, or `/name`. */
export function objectKey(identity: Identity): string {
  return `${identity.namespace}/${identity.name}`;
}

/** Their types are known again to who has the kind. */
interface Shelf {
  readonly collection: unknown;
  readonly indexes: ReadonlyMap<string, unknown>;
  /** By namespace. */
  readonly any: Query<string, boolean>;
  readonly refused: Refused;
}

export class KindWorld implements World {
  readonly settings: SourceSettings;
  readonly seal: World['seal'];
  readonly #graph: Graph;
  readonly #shelves = new Map<object, Shelf>();

  constructor(graph: Graph, settings: SourceSettings, seal: World['seal']) {
    this.#graph = graph;
    this.settings = settings;
    this.seal = seal;
  }

  objects<T>(kind: Kind<T>): Collection<SourceObject<T>> {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- put there under the same kind
    return this.#shelf(kind).collection as Collection<SourceObject<T>>;
  }

  index<T>(kind: Kind<T>, name: string): Index<SourceObject<T>> {
    const index = this.#shelf(kind).indexes.get(name);
    if (index === undefined) throw new RangeError(`kind ${kind.kind} has no index ${name}`);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- put there under the same kind
    return index as Index<SourceObject<T>>;
  }

  hasAny<T>(read: Reader, kind: Kind<T>, namespace: string): boolean {
    return read.query(this.#shelf(kind).any, namespace);
  }

  refused<T>(read: Reader, kind: Kind<T>, by: string): readonly ObjectRef[] {
    return this.#shelf(kind).refused.by(read, by);
  }

  install<T>(kind: Kind<T>, emit: Kind<T>['emit']): Installed {
    const [preferred] = kind.apiVersions;
    if (preferred === undefined) throw new RangeError(`kind ${kind.kind} has no apiVersion`);
    if (this.#shelves.has(kind)) throw new RangeError(`kind ${kind.kind} is registered twice`);
    const group = groupOf(preferred);
    const name = `${group}/${kind.kind}`;
    const collection = this.#graph.collection<SourceObject<T>>(name, isDeepStrictEqual);
    const shelf = this.#shelve(kind, collection);
    this.#shelves.set(kind, shelf);
    const { refused } = shelf;
    return {
      group,
      kind: kind.kind,
      apiVersions: kind.apiVersions,
      namespaced: kind.namespaced,
      readsStatus: kind.readsStatus === true,
      partRead: kind.partRead,
      isSecret: kind.isSecret === true,
      emission: this.#emission(name, emit, collection),
      accept: (key, identity, raw) => {
        const { object, problems } = decodeObject(kind, this.settings, identity, raw);
        if (object === undefined) return { problems };
        const changed = collection.set(key, object);
        refused.delete(key);
        return { accepted: { changed }, problems };
      },
      refuse: (key, identity, raw) => {
        if (collection.peek(key) !== undefined) return;
        const ref = { kind: kind.kind, ...identity };
        refused.add(key, ref, kind.alsoNamed?.(raw, ref, this.settings) ?? []);
      },
      remove: (key) => {
        collection.delete(key);
        refused.delete(key);
      },
    };
  }

  /** A kind that nobody registered has no objects. */
  #shelf<T>(kind: Kind<T>): Shelf {
    const known = this.#shelves.get(kind);
    if (known !== undefined) return known;
    const collection = this.#graph.collection<SourceObject<T>>(`unregistered ${kind.kind}`);
    const shelf = this.#shelve(kind, collection);
    this.#shelves.set(kind, shelf);
    return shelf;
  }

  #shelve<T>(kind: Kind<T>, collection: Collection<SourceObject<T>>): Shelf {
    const byNamespace = collection.index('namespace', (_key, { ref }) => [ref.namespace]);
    const indexes = new Map<string, unknown>([['namespace', byNamespace]]);
    for (const [name, keysOf] of Object.entries(kind.indexes ?? {})) {
      const index = collection.index(name, (_key, object) => keysOf(object, this.settings));
      indexes.set(name, index);
    }
    const any = this.#graph.query<string, boolean>({
      name: `any ${collection.name}`,
      id: (namespace) => namespace,
      compute: (read, namespace) => read.lookup(byNamespace, namespace).length > 0,
    });
    return { collection, indexes, any, refused: new Refused(this.#graph, collection.name) };
  }

  #emission<T>(
    name: string,
    emit: Kind<T>['emit'],
    collection: Collection<SourceObject<T>>,
  ): Query<string, EncodedEmission> {
    return this.#graph.query<string, EncodedEmission>({
      name: `emit ${name}`,
      id: (key) => key,
      compute: (read, key) => {
        const object = read.get(collection, key);
        if (object === undefined) return { events: [], problems: [], createdMs: 0 };
        return encode(emit(read, this, object), object.createdMs);
      },
      equal: sameEmission,
    });
  }
}

/** No object: it is refused. */
function decodeObject<T>(
  kind: Kind<T>,
  settings: SourceSettings,
  identity: Identity,
  raw: RawObject,
): { readonly object?: SourceObject<T>; readonly problems: readonly Problem[] } {
  if (!kind.apiVersions.includes(raw.apiVersion)) {
    const [preferred = ''] = kind.apiVersions;
    const reason = `this version of ${kind.kind} is not supported; use ${preferred}`;
    const at = { field: 'apiVersion', value: raw.apiVersion };
    return { problems: [problem(reason, 'error', at)] };
  }
  const metadata = decodeMetadata(raw);
  const decoded = decodeSafely(kind, raw, settings);
  // Whatever was written in the wrong place: of a kind that holds secrets no value is shown.
  const shown = (found: Problem): Problem =>
    kind.isSecret === true ? { ...found, value: '' } : found;
  const problems = [...metadata.problems, ...decoded.problems].map(shown);
  if (metadata.spec === undefined || decoded.spec === undefined) return { problems };
  const ref = { kind: kind.kind, ...identity };
  return { object: { ref, ...metadata.spec, spec: decoded.spec }, problems };
}

/** One object that a decoder did not foresee must not stop all others. */
function decodeSafely<T>(
  kind: Kind<T>,
  raw: RawObject,
  settings: SourceSettings,
): ReturnType<Kind<T>['decode']> {
  try {
    return kind.decode(raw, settings);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { problems: [problem(`internal error while decoding: ${reason}`)] };
  }
}

function encode(emission: Emission, createdMs: number): EncodedEmission {
  return {
    events: emission.events.map(({ topic, key, event }) => ({
      topic,
      key,
      value: Event.encode(event).finish(),
    })),
    problems: emission.problems,
    createdMs,
  };
}

function sameEmission(a: EncodedEmission, b: EncodedEmission): boolean {
  return (
    a.createdMs === b.createdMs &&
    a.events.length === b.events.length &&
    a.events.every((event, index) => {
      const other = b.events[index];
      return other !== undefined && sameEvent(event, other);
    }) &&
    isDeepStrictEqual(a.problems, b.problems)
  );
}

function sameEvent(a: EncodedEvent, b: EncodedEvent): boolean {
  return a.topic === b.topic && a.key === b.key && sameBytes(a.value, b.value);
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}
