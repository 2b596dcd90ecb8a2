/** Something that can be read: a cell of an input, or a node of a query. */
export type Source = Cell | Node<unknown>;

/** A collection, or an index of one. */
export interface Input {
  readonly name: string;
  /** Keys of the entries that are read through a cell. */
  entriesAt(key: string): Iterable<string>;
  /** A cell's last reader is gone. */
  forget(key: string): void;
}

/** One key of an input, once somebody has read it. */
export interface Cell {
  readonly kind: 'cell';
  readonly name: string;
  readonly input: Input;
  readonly key: string;
  changedAt: number;
  readers: Readers;
}

/**
 * `dirty`: an input that it read changed. `check`: a node that it read may change. `checking`:
 * these nodes are being brought up to date.
 */
export type NodeState = 'clean' | 'check' | 'checking' | 'dirty' | 'computing';

/** What all nodes of a query have in common: there are tens of thousands of nodes. */
export interface Rule<V> {
  compute(self: Node<V>): V;
  equal(a: V, b: V): boolean;
  /** It is known no more. */
  drop(self: Node<V>): void;
}

/** One key of a query: its outcome, what it read (in order), and who read it. */
export interface Node<V, K = unknown> {
  readonly kind: 'node';
  readonly name: string;
  readonly rule: Rule<V>;
  readonly key: string;
  /** The key as it was given to the query. */
  readonly given: K;
  state: NodeState;
  /** The last value that was computed without an error. */
  good: Good<V> | undefined;
  /** Set if the last computation threw: that is the outcome then, and readers get it thrown. */
  failure: Failure | undefined;
  /**
   * The revision in which the outcome last changed, and the one in which it was last known to hold.
   */
  changedAt: number;
  verifiedAt: number;
  observed: boolean;
  /** The value that `settle` told last, and the outcome's age then. */
  reported: V | undefined;
  reportedAt: number;
  reads: readonly Source[];
  readers: Readers;
}

/** It may be something else since it was last looked at. */
export function isChecking({ state }: Node<unknown>): boolean {
  return state === 'checking';
}

export interface Good<V> {
  readonly value: V;
}

export interface Failure {
  readonly error: unknown;
}

export function createCell(input: Input, key: string): Cell {
  return { kind: 'cell', name: input.name, input, key, changedAt: 0, readers: undefined };
}

/** Most have one reader or none, and a set is three places of memory. */
export type Readers = Node<unknown> | Set<Node<unknown>> | undefined;

export function readersOf({ readers }: Source): Iterable<Node<unknown>> {
  if (readers === undefined) return nobody;
  return readers instanceof Set ? readers : [readers];
}

const nobody: readonly Node<unknown>[] = [];

export function addReader(source: Source, reader: Node<unknown>): void {
  const { readers } = source;
  if (readers instanceof Set) readers.add(reader);
  else if (readers === undefined) source.readers = reader;
  else if (readers !== reader) source.readers = new Set([readers, reader]);
}

/** Returns whether nobody is left. */
export function removeReader(source: Source, reader: Node<unknown>): boolean {
  const { readers } = source;
  if (readers instanceof Set) {
    readers.delete(reader);
    if (readers.size === 0) source.readers = undefined;
  } else if (readers === reader) source.readers = undefined;
  return source.readers === undefined;
}
