/** Something that can be read: a cell of an input, or a node of a query. */
export type Source = Cell | Node;

/** One key of an input, once somebody has read it. */
export interface Cell {
  readonly kind: 'cell';
  readonly name: string;
  readonly key: string;
  changedAt: number;
  readonly readers: Set<Node>;
  /** Called when the last reader is gone. */
  readonly drop: () => void;
}

/** `dirty`: an input that it read changed. `check`: a node that it read may change. */
export type NodeState = 'clean' | 'check' | 'dirty' | 'computing';

/** One key of a query: its value, what it read (in order), and who read it. */
export interface Node {
  readonly kind: 'node';
  readonly name: string;
  readonly key: string;
  state: NodeState;
  value: unknown;
  hasValue: boolean;
  changedAt: number;
  verifiedAt: number;
  observed: boolean;
  /** What the last `settle` told of it, and the value's age then. */
  reported: unknown;
  reportedAt: number;
  reads: Set<Source>;
  readonly readers: Set<Node>;
  readonly compute: (node: Node) => unknown;
  readonly equal: (a: unknown, b: unknown) => boolean;
  readonly drop: () => void;
}

export function createCell(name: string, key: string, drop: () => void): Cell {
  return { kind: 'cell', name, key, changedAt: 0, readers: new Set(), drop };
}
