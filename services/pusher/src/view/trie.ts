/**
 * A persistent map from names to leaves: a hash array mapped trie. A change copies O(log n) nodes
 * and shares the rest, so a scope's next version costs what changed, and so does the difference of
 * two versions.
 *
 * Its shape depends on its content alone, never on the way there. So the digest of the root, made
 * of its children's digests, is the digest of the content, on any machine.
 */
import { hash } from 'node:crypto';

export interface Leaf {
  readonly name: string;
  /** `hashName(name)`. */
  readonly hash: number;
  /** Equal versions: equal content. */
  readonly version: string;
}

/** `undefined`: empty. */
export type Trie<L extends Leaf> = Node<L> | undefined;
type Node<L extends Leaf> = L | Branch<L> | Collision<L>;

const bits = 5;
const mask = 31;

class Branch<L extends Leaf> {
  readonly bitmap: number;
  readonly children: readonly Node<L>[];
  readonly size: number;
  digest: string | undefined;

  constructor(bitmap: number, children: readonly Node<L>[], size: number) {
    this.bitmap = bitmap;
    this.children = children;
    this.size = size;
  }
}

/** Names whose hashes are equal, sorted. */
class Collision<L extends Leaf> {
  readonly hash: number;
  readonly leaves: readonly L[];
  digest: string | undefined;

  constructor(leaves: readonly L[], nameHash: number) {
    this.leaves = leaves;
    this.hash = nameHash;
  }
}

/**
 * 32 bits: FNV-1a over UTF-16 code units, then MurmurHash3's finaliser. Part of what digests depend
 * on.
 */
export function hashName(name: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

export function trieSize<L extends Leaf>(trie: Trie<L>): number {
  if (trie === undefined) return 0;
  if (trie instanceof Branch) return trie.size;
  return trie instanceof Collision ? trie.leaves.length : 1;
}

export function trieGet<L extends Leaf>(
  trie: Trie<L>,
  name: string,
  nameHash: number,
): L | undefined {
  let node: Node<L> | undefined = trie;
  for (let shift = 0; node instanceof Branch; shift += bits) {
    const bit = 1 << ((nameHash >>> shift) & mask);
    if ((node.bitmap & bit) === 0) return undefined;
    node = node.children[popcount(node.bitmap & (bit - 1))];
  }
  if (node === undefined) return undefined;
  if (node instanceof Collision) {
    return node.hash === nameHash ? node.leaves.find((leaf) => leaf.name === name) : undefined;
  }
  return node.hash === nameHash && node.name === name ? node : undefined;
}

/** The same trie if it holds this very leaf already. */
export function trieSet<L extends Leaf>(trie: Trie<L>, leaf: L): Node<L> {
  return trie === undefined ? leaf : setIn(trie, leaf, 0);
}

/** The same trie if it does not hold the name. */
export function trieDelete<L extends Leaf>(trie: Trie<L>, name: string, nameHash: number): Trie<L> {
  return trie === undefined ? undefined : deleteIn(trie, name, nameHash, 0);
}

/** Leaves in the order of their hashes' low bits: the same for equal content. */
export function* trieLeaves<L extends Leaf>(trie: Trie<L>): Generator<L, void> {
  if (trie === undefined) return;
  if (trie instanceof Branch) for (const child of trie.children) yield* trieLeaves(child);
  else if (trie instanceof Collision) yield* trie.leaves;
  else yield trie;
}

export function trieEach<L extends Leaf>(trie: Trie<L>, visit: (leaf: L) => void): void {
  if (trie === undefined) return;
  if (trie instanceof Branch) for (const child of trie.children) trieEach(child, visit);
  else if (trie instanceof Collision) for (const leaf of trie.leaves) visit(leaf);
  else visit(trie);
}

/** Called for each name whose leaf is absent on one side, or whose versions differ. */
export type DiffVisitor<L extends Leaf> = (
  name: string,
  before: L | undefined,
  after: L | undefined,
) => void;

/** Costs what differs, where the two share structure. */
export function trieDiff<L extends Leaf>(
  before: Trie<L>,
  after: Trie<L>,
  visit: DiffVisitor<L>,
): void {
  diffNodes(before, after, 0, visit);
}

/** The digest of all names and versions in it: 32 hexadecimal characters. */
export function trieDigest<L extends Leaf>(trie: Trie<L>): string {
  return trie === undefined ? digest('') : digest(nodeDigest(trie));
}

function nodeDigest<L extends Leaf>(node: Node<L>): string {
  if (node instanceof Branch) {
    node.digest ??= digest(`b${node.bitmap >>> 0}\n${node.children.map(nodeDigest).join('\n')}`);
    return node.digest;
  }
  if (node instanceof Collision) {
    node.digest ??= digest(`c\n${node.leaves.map(nodeDigest).join('\n')}`);
    return node.digest;
  }
  return `${node.version}\0${node.name}`;
}

function digest(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 32);
}

function popcount(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function hashOf<L extends Leaf>(node: L | Collision<L>): number {
  return node.hash;
}

function setIn<L extends Leaf>(node: Node<L>, leaf: L, shift: number): Node<L> {
  if (!(node instanceof Branch)) {
    if (hashOf(node) !== leaf.hash) return split(node, leaf, shift);
    if (node instanceof Collision) return collisionSet(node, leaf);
    if (node.name !== leaf.name) return collisionOf([node, leaf]);
    return node === leaf ? node : leaf;
  }
  const bit = 1 << ((leaf.hash >>> shift) & mask);
  const index = popcount(node.bitmap & (bit - 1));
  const child = (node.bitmap & bit) === 0 ? undefined : node.children[index];
  if (child === undefined) {
    const children = [...node.children.slice(0, index), leaf, ...node.children.slice(index)];
    return new Branch(node.bitmap | bit, children, node.size + 1);
  }
  const next = setIn(child, leaf, shift + bits);
  if (next === child) return node;
  return new Branch(
    node.bitmap,
    node.children.with(index, next),
    node.size - trieSize(child) + trieSize(next),
  );
}

function split<L extends Leaf>(node: L | Collision<L>, leaf: L, shift: number): Branch<L> {
  const a = (hashOf(node) >>> shift) & mask;
  const b = (leaf.hash >>> shift) & mask;
  const size = trieSize<L>(node) + 1;
  if (a === b) return new Branch(1 << a, [split(node, leaf, shift + bits)], size);
  return new Branch((1 << a) | (1 << b), a < b ? [node, leaf] : [leaf, node], size);
}

function collisionOf<L extends Leaf>(leaves: readonly L[]): Collision<L> {
  const sorted = leaves.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return new Collision(sorted, sorted[0]?.hash ?? 0);
}

function collisionSet<L extends Leaf>(node: Collision<L>, leaf: L): Collision<L> {
  const index = node.leaves.findIndex((other) => other.name === leaf.name);
  if (index < 0) return collisionOf([...node.leaves, leaf]);
  return node.leaves[index] === leaf
    ? node
    : new Collision(node.leaves.with(index, leaf), node.hash);
}

function deleteIn<L extends Leaf>(
  node: Node<L>,
  name: string,
  nameHash: number,
  shift: number,
): Trie<L> {
  if (!(node instanceof Branch)) return deleteLeaf(node, name, nameHash);
  const bit = 1 << ((nameHash >>> shift) & mask);
  if ((node.bitmap & bit) === 0) return node;
  const index = popcount(node.bitmap & (bit - 1));
  const child = node.children[index];
  if (child === undefined) return node;
  const next = deleteIn(child, name, nameHash, shift + bits);
  if (next === child) return node;
  if (next !== undefined) {
    // Such a branch would not be there, had the deleted leaf never been.
    if (node.children.length === 1 && !(next instanceof Branch)) return next;
    return new Branch(node.bitmap, node.children.with(index, next), node.size - 1);
  }
  const rest = node.children.toSpliced(index, 1);
  const [only] = rest;
  if (rest.length === 1 && only !== undefined && !(only instanceof Branch)) return only;
  return rest.length === 0 ? undefined : new Branch(node.bitmap & ~bit, rest, node.size - 1);
}

function deleteLeaf<L extends Leaf>(
  node: L | Collision<L>,
  name: string,
  nameHash: number,
): Trie<L> {
  if (hashOf(node) !== nameHash) return node;
  if (!(node instanceof Collision)) return node.name === name ? undefined : node;
  const rest = node.leaves.filter((leaf) => leaf.name !== name);
  if (rest.length === node.leaves.length) return node;
  return rest.length === 1 ? rest[0] : new Collision(rest, node.hash);
}

function diffNodes<L extends Leaf>(
  before: Trie<L>,
  after: Trie<L>,
  shift: number,
  visit: DiffVisitor<L>,
): void {
  if (before === after) return;
  if (before instanceof Branch && after instanceof Branch) {
    const all = before.bitmap | after.bitmap;
    for (let rest = all; rest !== 0; rest &= rest - 1) {
      const bit = rest & -rest;
      diffNodes(childAt(before, bit), childAt(after, bit), shift + bits, visit);
    }
    return;
  }
  // One side has few leaves here: look each up on the other side.
  trieEach(before, (leaf) => {
    const other = getAt(after, leaf, shift);
    if (other === undefined || other.version !== leaf.version) visit(leaf.name, leaf, other);
  });
  trieEach(after, (leaf) => {
    if (getAt(before, leaf, shift) === undefined) visit(leaf.name, undefined, leaf);
  });
}

function childAt<L extends Leaf>(node: Branch<L>, bit: number): Trie<L> {
  return (node.bitmap & bit) === 0 ? undefined : node.children[popcount(node.bitmap & (bit - 1))];
}

/** As `trieGet`, below the root. */
function getAt<L extends Leaf>(trie: Trie<L>, leaf: L, fromShift: number): L | undefined {
  let node: Node<L> | undefined = trie;
  for (let shift = fromShift; node instanceof Branch; shift += bits) {
    node = childAt(node, 1 << ((leaf.hash >>> shift) & mask));
  }
  return trieGet(node, leaf.name, leaf.hash);
}
