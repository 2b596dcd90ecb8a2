/**
 * What assembly (who sees what) tells the engine (make bytes, publish records) to generate.
 *
 * Assembly runs as queries over the folded log (`@watershed/derive`), so all of its reads are
 * recorded. It never makes bytes. A generator makes bytes and never reads: its one frozen argument
 * is all that it gets, and the argument's digest (with the generator's name and version) is the
 * cache key.
 */
import type { Query } from '@watershed/derive/graph.ts';
import type { ScopeClass, Selectors } from '@watershed/model/gen/record.ts';
import type { Inputs } from './inputs.ts';

/** A pure function from one frozen argument to the bytes of one fragment. */
export interface Generator<A> {
  /** Stable; part of the cache key. */
  readonly name: string;
  /** Raise it when the same argument must give other bytes; part of the cache key. */
  readonly version: number;
  /**
   * What it makes is small and pushed at once: it travels in the record where that stays small, so
   * that nobody waits for the blob store, and the cache keeps it.
   */
  readonly inline?: boolean;
  generate(argument: A): Generated;
}

export interface Generated {
  /** One fragment: encoded fields of the resource's message, deterministic. */
  readonly bytes: Uint8Array;
  /** What could not be honoured, and why; never fails the others. */
  readonly diagnostics?: readonly Diagnostic[];
}

export interface Diagnostic {
  /** The config key of the user's object, `cluster|kind|namespace|name`. */
  readonly object: string;
  readonly field: string;
  readonly value: string;
  readonly reason: string;
}

/**
 * One generator and its argument; made by `job`. Identity matters: an unchanged job should be the
 * same object, because then not even the digest of its argument is computed again.
 */
export interface Job {
  readonly generator: Generator<never>;
  readonly argument: object;
  run(): Generated;
}

/** Ties a generator to an argument of its type; the engine freezes the argument before the call. */
export function job<A extends object>(generator: Generator<A>, argument: A): Job {
  return { generator, argument, run: () => generator.generate(argument) };
}

export interface ResourceKey {
  readonly typeUrl: string;
  readonly name: string;
  /**
   * Which inputs were chosen for it, never their values: a change of value then changes this one
   * record, and no manifest.
   */
  readonly variant: string;
  /**
   * Whose owner publishes it: the host of a cluster or an assignment, so that both come from one
   * shard. Absent: placed by its name. It must follow from the other three, because it is not part
   * of the identity.
   */
  readonly host?: string;
}

/** One resource: the concatenation of its parts' bytes is its message. */
export interface ResourcePlan {
  readonly key: ResourceKey;
  readonly parts: readonly Job[];
  /** Names of resources that it needs: a Cluster's EDS name, a Listener's RDS names, SDS names. */
  readonly refs: readonly string[];
  /** True: ordered per host, published at once (endpoints). */
  readonly bypassesEpochs: boolean;
  /**
   * There is nothing in it, as far as was read: an assignment without endpoints. It is published
   * only when all is read that was on the log by then, of whatever topic.
   */
  readonly empty?: boolean;
  /** Other names that find it, of a type of its own (rule 44 of delta xDS). */
  readonly aliases?: readonly string[];
  /** Names of resources of its type that it comes with, to whom asks for those by name. */
  readonly groups?: readonly string[];
  /** What could not be honoured while it was put together. */
  readonly diagnostics?: readonly Diagnostic[];
}

export interface ManifestPlan {
  readonly types: readonly ManifestTypePlan[];
  /** What could not be honoured while it was put together: conflicts between objects, say. */
  readonly diagnostics?: readonly Diagnostic[];
}

export interface ManifestTypePlan {
  readonly typeUrl: string;
  readonly shared: readonly ResourceKey[];
  /** What the scope alone has. */
  readonly own: readonly ResourcePlan[];
}

/** The queries that assembly offers to the engine. */
export interface Plans {
  /** `undefined`: its inputs are gone. */
  readonly shared: Query<ResourceKey, ResourcePlan | undefined>;
  readonly manifest: Query<ScopeClass, ManifestPlan>;
  /** Per namespace: what of a proxy's node tells its scope. */
  readonly selectors: Query<string, Selectors>;
  /**
   * Types of which a scope has all or nothing, whatever shard makes a resource and whenever it
   * comes: no manifest lists them, and what is not there any more is taken back at once. What a
   * plan shares of such a type is what this shard is to make; it may be in several parts, so that a
   * new resource touches one of them.
   */
  readonly whole?: ReadonlySet<string>;
}

/** Makes the queries over these inputs; once per process. */
export type PlansOf = (inputs: Inputs) => Plans;

/** A resource's id in maps and queries. */
export function resourceId(key: ResourceKey): string {
  return `${key.typeUrl}\n${key.name}\n${key.variant}`;
}
