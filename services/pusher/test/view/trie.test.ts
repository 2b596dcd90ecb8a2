import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  hashName,
  trieDelete,
  trieDiff,
  trieDigest,
  trieGet,
  trieLeaves,
  trieParts,
  trieSet,
  trieSetAll,
  trieSize,
  type Leaf,
  type Trie,
} from '../../src/view/trie.ts';

/** Few hashes, so that collisions and long common prefixes happen. */
function leaf(name: string, version: string): Leaf {
  const hash = name.startsWith('c')
    ? 7
    : name.startsWith('d')
      ? (7 | (1 << 31)) >>> 0
      : hashName(name);
  return { name, hash, version };
}

const names = fc.constantFrom('a', 'b', 'c1', 'c2', 'c3', 'd1', 'd2', 'e', 'f', '__proto__', '');
const versions = fc.constantFrom('1', '2', '3');
const steps = fc.array(fc.tuple(names, fc.option(versions, { nil: undefined })), { maxLength: 40 });

function build(changes: readonly (readonly [string, string | undefined])[]): {
  trie: Trie<Leaf>;
  model: Map<string, string>;
} {
  let trie: Trie<Leaf>;
  const model = new Map<string, string>();
  for (const [name, version] of changes) {
    if (version === undefined) {
      trie = trieDelete(trie, name, leaf(name, '').hash);
      model.delete(name);
    } else {
      trie = trieSet(trie, leaf(name, version));
      model.set(name, version);
    }
  }
  return { trie, model };
}

describe('the persistent trie', () => {
  it('holds what a Map holds after any changes', () => {
    fc.assert(
      fc.property(steps, (changes) => {
        const { trie, model } = build(changes);
        expect(trieSize(trie)).toBe(model.size);
        expect(new Map([...trieLeaves(trie)].map((l) => [l.name, l.version]))).toEqual(model);
        for (const name of ['a', 'c1', 'c2', 'd1', '__proto__', 'absent']) {
          expect(trieGet(trie, name, leaf(name, '').hash)?.version).toBe(model.get(name));
        }
      }),
    );
  });

  it('has one shape and one digest per content, whatever the way there', () => {
    fc.assert(
      fc.property(steps, (changes) => {
        const { trie, model } = build(changes);
        const direct = build([...model].reverse());
        expect(trieDigest(direct.trie)).toBe(trieDigest(trie));
        expect([...trieLeaves(direct.trie)].map((l) => l.name)).toEqual(
          [...trieLeaves(trie)].map((l) => l.name),
        );
      }),
    );
  });

  it('is its parts, none larger than asked for', () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 12 }), (changes, most) => {
        const { trie } = build(changes);
        const parts = [...trieParts(trie, most)];
        expect(parts.length).toBeGreaterThan(0);
        expect(Math.max(...parts.map(trieSize))).toBeLessThanOrEqual(most);
        expect(parts.flatMap((part) => [...trieLeaves(part)])).toEqual([...trieLeaves(trie)]);
      }),
    );
  });

  it('becomes by many leaves at once what it becomes by one after the other', () => {
    const leaves = fc.array(
      fc.tuple(names, versions).map(([name, version]) => leaf(name, version)),
    );
    fc.assert(
      fc.property(steps, leaves, (changes, more) => {
        const { trie } = build(changes);
        let expected = trie;
        for (const one of more) expected = trieSet(expected, one);
        const all = trieSetAll(trie, more);
        expect(trieDigest(all)).toBe(trieDigest(expected));
        expect(trieSize(all)).toBe(trieSize(expected));
        expect([...trieLeaves(all)]).toEqual([...trieLeaves(expected)]);
        expect(trieSetAll(all, [...trieLeaves(all)])).toBe(all);
      }),
    );
  });

  it('tells different contents by their digests', () => {
    fc.assert(
      fc.property(steps, steps, (one, other) => {
        const a = build(one);
        const b = build(other);
        const equal =
          a.model.size === b.model.size && [...a.model].every(([k, v]) => b.model.get(k) === v);
        expect(trieDigest(a.trie) === trieDigest(b.trie)).toBe(equal);
      }),
    );
  });

  it('finds exactly the names that differ', () => {
    fc.assert(
      fc.property(steps, steps, (first, more) => {
        const a = build(first);
        const b = build([...first, ...more]);
        const found = new Map<string, readonly [string | undefined, string | undefined]>();
        trieDiff(a.trie, b.trie, (name, before, after) => {
          expect(found.has(name)).toBe(false);
          found.set(name, [before?.version, after?.version]);
        });
        const expected = new Map<string, readonly [string | undefined, string | undefined]>();
        for (const name of new Set([...a.model.keys(), ...b.model.keys()])) {
          const pair = [a.model.get(name), b.model.get(name)] as const;
          if (pair[0] !== pair[1]) expected.set(name, pair);
        }
        expect(found).toEqual(expected);
      }),
    );
  });

  it('tells names whose hashes are equal apart by more of them: no node grows', () => {
    let trie: Trie<Leaf>;
    for (let i = 0; i < 5_000; i++) trie = trieSet(trie, { name: `n${i}`, hash: 7, version: '1' });
    let widest = 0;
    const walk = (node: object): void => {
      for (const part of Object.values(node)) {
        if (!Array.isArray(part)) continue;
        widest = Math.max(widest, part.length);
        part.forEach(walk);
      }
    };
    if (trie !== undefined) walk(trie);
    expect(widest).toBe(32);
    for (let i = 0; i < 5_000; i++) trie = trieDelete(trie, `n${i}`, 7);
    expect(trie).toBeUndefined();
  });

  it('shares all but the path to a changed leaf', () => {
    let trie: Trie<Leaf>;
    for (let i = 0; i < 5_000; i++) {
      trie = trieSet(trie, { name: `n${i}`, hash: hashName(`n${i}`), version: '1' });
    }
    const next = trieSet(trie, { name: 'n77', hash: hashName('n77'), version: '2' });
    let visited = 0;
    trieDiff(trie, next, () => visited++);
    expect(visited).toBe(1);
    expect(trieSet(next, trieGet(next, 'n5', hashName('n5'))!)).toBe(next);
  });
});
