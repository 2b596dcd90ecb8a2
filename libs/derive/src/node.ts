/** Something that can be read: a cell of an input, or a node of a query. */
export type Source = Cell | Node<unknown>;

/** One key of an input, once somebody has read it. */
export interface Cell {
  readonly kind: 'cell';
  readonly name: string;
  readonly key: string;
  changedAt: number;
  readonly readers: Set<Node<unknown>>;
  /** Keys of the entries that are read through it. */
  entries(): Iterable<string>;
  /** Called when the last reader is gone. */
  drop(): void;
}

/**
 * `dirty`: an input that it read changed. `check`: a node that it read may change. `checking`:
 * these nodes are being brought up to date.
 */
export type NodeState = 'clean' | 'check' | 'checking' | 'dirty' | 'computing';

/** One key of a query: its outcome, what it read (in order), and who read it. */
export interface Node<V> {
  readonly kind: 'node';
  readonly name: string;
  readonly key: string;
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
  reads: Set<Source>;
  readonly readers: Set<Node<unknown>>;
  compute(self: Node<V>): V;
  equal(a: V, b: V): boolean;
  drop(): void;
}

export interface Good<V> {
  readonly value: V;
}

export interface Failure {
  readonly error: unknown;
}

export function createCell(spec: Pick<Cell, 'name' | 'key' | 'entries' | 'drop'>): Cell {
  return { ...spec, kind: 'cell', changedAt: 0, readers: new Set() };
}
