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
type Node<L extends Leaf> = L | Branch<L>;

const bits = 5;
const mask = 31;
/** Seven levels take all of a hash. */
const hashBits = 35;

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

/**
 * Which child a name belongs to: five bits of its hash, and of a digest of it where those are used
 * up. Clients choose names, and it takes them no time to find many whose hashes are equal.
 */
function slotOf(name: string, nameHash: number, shift: number): number {
  return shift < hashBits ? (nameHash >>> shift) & mask : deepSlot(name, shift - hashBits);
}

/** The last name's: it is asked for at one level after the other. */
const deep = { name: '', bytes: hash('sha256', '', 'buffer') };

function deepSlot(name: string, from: number): number {
  if (deep.name !== name) Object.assign(deep, { name, bytes: hash('sha256', name, 'buffer') });
  return (deep.bytes.readUInt16LE(from >>> 3) >>> (from & 7)) & mask;
}

export function trieSize<L extends Leaf>(trie: Trie<L>): number {
  if (trie === undefined) return 0;
  return trie instanceof Branch ? trie.size : 1;
}

export function trieGet<L extends Leaf>(
  trie: Trie<L>,
  name: string,
  nameHash: number,
): L | undefined {
  let node: Node<L> | undefined = trie;
  for (let shift = 0; node instanceof Branch; shift += bits) {
    const bit = 1 << slotOf(name, nameHash, shift);
    if ((node.bitmap & bit) === 0) return undefined;
    node = node.children[popcount(node.bitmap & (bit - 1))];
  }
  return node?.hash === nameHash && node.name === name ? node : undefined;
}

/** The same trie if it holds this very leaf already. */
export function trieSet<L extends Leaf>(trie: Trie<L>, leaf: L): Node<L> {
  return trie === undefined ? leaf : setIn(trie, leaf, 0);
}

/** As `trieSet` of one leaf after the other; a node on the way to several is made once. */
export function trieSetAll<L extends Leaf>(trie: Trie<L>, leaves: readonly L[]): Trie<L> {
  const [first] = leaves;
  return first === undefined ? trie : setAllIn(trie ?? first, leaves, 0);
}

/** The same trie if it does not hold the name. */
export function trieDelete<L extends Leaf>(trie: Trie<L>, name: string, nameHash: number): Trie<L> {
  return trie === undefined ? undefined : deleteIn(trie, name, nameHash, 0);
}

/** Leaves in the order of their hashes' low bits: the same for equal content. */
export function* trieLeaves<L extends Leaf>(trie: Trie<L>): Generator<L, void> {
  if (trie === undefined) return;
  if (trie instanceof Branch) for (const child of trie.children) yield* trieLeaves(child);
  else yield trie;
}

export function trieEach<L extends Leaf>(trie: Trie<L>, visit: (leaf: L) => void): void {
  if (trie === undefined) return;
  if (trie instanceof Branch) for (const child of trie.children) trieEach(child, visit);
  else visit(trie);
}

/**
 * Parts of up to `most` leaves that are all of it together; of nothing, one of nothing. What does
 * not change of a trie is mostly in the same parts (`===`) afterwards.
 */
export function* trieParts<L extends Leaf>(trie: Trie<L>, most: number): Generator<Trie<L>, void> {
  if (!(trie instanceof Branch) || trie.size <= most) yield trie;
  else for (const child of trie.children) yield* trieParts(child, most);
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

function setIn<L extends Leaf>(node: Node<L>, leaf: L, shift: number): Node<L> {
  if (!(node instanceof Branch)) {
    return node.name === leaf.name ? leaf : split(node, leaf, shift);
  }
  const bit = 1 << slotOf(leaf.name, leaf.hash, shift);
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

function setAllIn<L extends Leaf>(node: Node<L>, leaves: readonly L[], shift: number): Node<L> {
  if (leaves.length === 1 || !(node instanceof Branch)) return setEachIn(node, leaves, shift);
  const bySlot = new Map<number, L[]>();
  const others: L[] = [];
  for (const leaf of leaves) {
    const slot = slotOf(leaf.name, leaf.hash, shift);
    const same = bySlot.get(slot);
    if (same !== undefined) same.push(leaf);
    else if ((node.bitmap & (1 << slot)) === 0) others.push(leaf);
    else bySlot.set(slot, [leaf]);
  }
  const children = [...node.children];
  let { size } = node;
  let isNew = false;
  for (const [slot, some] of bySlot) {
    const at = popcount(node.bitmap & ((1 << slot) - 1));
    const child = children[at];
    if (child === undefined) continue;
    const next = setAllIn(child, some, shift + bits);
    size += trieSize(next) - trieSize(child);
    isNew ||= next !== child;
    children[at] = next;
  }
  return setEachIn(isNew ? new Branch(node.bitmap, children, size) : node, others, shift);
}

function setEachIn<L extends Leaf>(node: Node<L>, leaves: readonly L[], shift: number): Node<L> {
  let next = node;
  for (const leaf of leaves) next = setIn(next, leaf, shift);
  return next;
}

function split<L extends Leaf>(node: L, leaf: L, shift: number): Branch<L> {
  const a = slotOf(node.name, node.hash, shift);
  const b = slotOf(leaf.name, leaf.hash, shift);
  if (a === b) return new Branch(1 << a, [split(node, leaf, shift + bits)], 2);
  return new Branch((1 << a) | (1 << b), a < b ? [node, leaf] : [leaf, node], 2);
}

function deleteIn<L extends Leaf>(
  node: Node<L>,
  name: string,
  nameHash: number,
  shift: number,
): Trie<L> {
  if (!(node instanceof Branch)) return node.name === name ? undefined : node;
  const bit = 1 << slotOf(name, nameHash, shift);
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

function diffNodes<L extends Leaf>(
  before: Trie<L>,
  after: Trie<L>,
  shift: number,
  visit: DiffVisitor<L>,
): void {
  if (before === after) return;
  if (before instanceof Branch && after instanceof Branch) {
    diffBranches(before, after, shift + bits, visit);
  } else diffLeaves(before, after, shift, visit);
}

function diffBranches<L extends Leaf>(
  before: Branch<L>,
  after: Branch<L>,
  shift: number,
  visit: DiffVisitor<L>,
): void {
  if (before.bitmap === after.bitmap) {
    for (let at = 0; at < before.children.length; at++) {
      const child = before.children[at];
      const next = after.children[at];
      if (child !== next) diffNodes(child, next, shift, visit);
    }
    return;
  }
  for (let rest = before.bitmap | after.bitmap; rest !== 0; rest &= rest - 1) {
    const bit = rest & -rest;
    diffNodes(childAt(before, bit), childAt(after, bit), shift, visit);
  }
}

/** One side has few leaves: each is looked up on the other side. */
function diffLeaves<L extends Leaf>(
  before: Trie<L>,
  after: Trie<L>,
  shift: number,
  visit: DiffVisitor<L>,
): void {
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
    node = childAt(node, 1 << slotOf(leaf.name, leaf.hash, shift));
  }
  return trieGet(node, leaf.name, leaf.hash);
}
