/**
 * What the ingester's core asks of a kind of object (Service, VirtualService, HTTPRoute, …).
 *
 *     source ─► decode (one object, strict) ─► collection ─► emit (joins, recorded reads) ─► events
 *
 * `decode` sees one object and nothing else; `emit` may look at other objects through the reader,
 * so that a change of a ReferenceGrant emits again exactly the routes that asked for it. The core
 * does the rest: last good, duplicates, comparison with the log, held deletions, publishing.
 */
import type { Collection, Index } from '@watershed/derive/collection.ts';
import type { Reader } from '@watershed/derive/graph.ts';
import type { Event } from '@watershed/model/gen/model.ts';

/** An object as its source gave it: parsed, bounded in size and depth, otherwise unchecked. */
export interface RawObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

/** A decoded object: identity, the metadata that emitters read, and the typed, defaulted spec. */
export interface SourceObject<T> {
  readonly ref: ObjectRef;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** 0 where the source has none (files). */
  readonly createdMs: number;
  readonly spec: T;
}

export interface ObjectRef {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** A clear word on one object's field. `error`: the object's last good value stays. */
export interface Problem {
  readonly severity: 'error' | 'warning';
  /** `spec.http[0].route[1].weight` */
  readonly field: string;
  /** The offending value, cut to a bounded length; never a secret. */
  readonly value: string;
  readonly reason: string;
}

export interface Decoded<T> {
  /** Absent if any problem is an error. */
  readonly spec?: T;
  readonly problems: readonly Problem[];
}

/** One event of an object, before it is compared with what the log holds. */
export interface Emitted {
  readonly topic: 'config' | 'endpoints';
  /** From `configKey` or `endpointsKey`. */
  readonly key: string;
  readonly event: Event;
}

export interface Emission {
  readonly events: readonly Emitted[];
  readonly problems: readonly Problem[];
}

/**
 * Settings of the source that decoding and emitting may read; fixed for the life of the process.
 */
export interface SourceSettings {
  /** `CLUSTER_ID` */
  readonly cluster: string;
  /** The Kubernetes DNS suffix, `cluster.local`. */
  readonly domain: string;
  readonly rootNamespace: string;
  /** `PILOT_ENABLE_AMBIENT`: workloads are put on the log, one by one, for proxies of nodes. */
  readonly ambient: boolean;
}

export interface Kind<T> {
  /** `networking.istio.io/v1` and older ones that mean the same; the first is the preferred one. */
  readonly apiVersions: readonly string[];
  readonly kind: string;
  readonly namespaced: boolean;
  /** Whether `decode` looks at `status`; otherwise a change of it alone is not even decoded. */
  readonly readsStatus?: boolean;
  /**
   * Names of indexes and the keys of an object in each: `namespace/name` lists are the default
   * index.
   */
  readonly indexes?: Readonly<
    Record<string, (object: SourceObject<T>, settings: SourceSettings) => readonly string[]>
  >;
  /**
   * By what else than `namespace/name` others name an object. It is asked of one that was refused,
   * so the fields may hold anything.
   */
  readonly alsoNamed?: (
    raw: RawObject,
    ref: ObjectRef,
    settings: SourceSettings,
  ) => readonly string[];
  /**
   * Of a kind whose objects hold much that is an application's: the part that `decode` reads. It
   * alone is kept on the log.
   */
  readonly partRead?: (raw: RawObject) => RawObject;
  /** What is kept of it on the log is sealed. */
  readonly isSecret?: boolean;
  readonly decode: (raw: RawObject, settings: SourceSettings) => Decoded<T>;
  readonly emit: (read: Reader, world: World, object: SourceObject<T>) => Emission;
}

/** Everything that emitters may read: the decoded objects of this source, by kind. */
export interface World {
  readonly settings: SourceSettings;
  /** Keyed `namespace/name` (cluster-scoped: `/name`). */
  readonly objects: <T>(kind: Kind<T>) => Collection<SourceObject<T>>;
  /** An index that the kind declares; index `namespace` is always there. */
  readonly index: <T>(kind: Kind<T>, name: string) => Index<SourceObject<T>>;
  /** Whether a namespace has objects of the kind: asked first, it spares many reads of nothing. */
  readonly hasAny: <T>(read: Reader, kind: Kind<T>, namespace: string) => boolean;
  /**
   * Those that are there, but no version of which was ever good: they are in no collection, and
   * their own diagnostics say why. By `namespace/name`, by `namespace/` (all of it), or as
   * `alsoNamed` has it.
   */
  readonly refused: <T>(read: Reader, kind: Kind<T>, by: string) => readonly ObjectRef[];
  readonly seal: (material: Uint8Array) => { readonly sealed: Uint8Array; readonly keyId: string };
}
