import { describe, expect, it } from 'vitest';
import { Graph } from '../src/graph.ts';
import type { Query } from '../src/graph.ts';
import { CycleError } from '../src/outcome.ts';

const id = (key: string): string => key;

interface Person {
  readonly team: string;
  readonly age: number;
}

function teams(graph: Graph = new Graph()) {
  const people = graph.collection<Person>('people');
  const byTeam = people.index('team', (_, person) => [person.team]);
  const adults = graph.query<string, number>({
    name: 'adults',
    id,
    compute: (read, team) => read.lookup(byTeam, team).filter((e) => e.value.age >= 18).length,
  });
  const report = graph.query<string, string>({
    name: 'report',
    id,
    compute: (read, team) => `${team}: ${read.query(adults, team)}`,
  });
  return { graph, people, byTeam, adults, report };
}

function counts(graph: Graph): Record<string, number> {
  return Object.fromEntries(graph.computed);
}

describe('early cut-off', () => {
  it('recomputes only what read the change, and stops where a value stays equal', () => {
    const { graph, people, report } = teams();
    people.set('ann', { team: 'red', age: 30 });
    people.set('bob', { team: 'blue', age: 10 });
    graph.observe(report, 'red');
    graph.observe(report, 'blue');
    expect(graph.settle().map((c) => c.after)).toEqual(['red: 1', 'blue: 0']);
    expect(counts(graph)).toEqual({ adults: 2, report: 2 });

    people.set('ann', { team: 'red', age: 31 });
    expect(graph.settle()).toEqual([]);
    expect(counts(graph)).toEqual({ adults: 3, report: 2 });

    people.set('bob', { team: 'blue', age: 18 });
    expect(graph.settle().map((c) => [c.before, c.after])).toEqual([['blue: 0', 'blue: 1']]);
    expect(counts(graph)).toEqual({ adults: 4, report: 3 });
  });

  it('does nothing for an equal value, an unread key, or a settle without changes', () => {
    const graph = new Graph();
    const numbers = graph.collection<number>('numbers');
    const double = graph.query<string, number>({
      name: 'double',
      id,
      compute: (read, key) => 2 * (read.get(numbers, key) ?? 0),
    });
    numbers.set('a', 1);
    graph.observe(double, 'a');
    graph.settle();
    expect(numbers.set('a', 1)).toBe(false);
    expect(numbers.set('b', 1)).toBe(true);
    expect(numbers.delete('c')).toBe(false);
    expect(graph.settle()).toEqual([]);
    expect(counts(graph)).toEqual({ double: 1 });
  });

  it('computes once for many changes between two settles', () => {
    const { graph, people, report } = teams();
    graph.observe(report, 'red');
    graph.settle();
    for (let age = 0; age < 50; age++) people.set(`p${age}`, { team: 'red', age });
    expect(graph.settle()).toHaveLength(1);
    expect(counts(graph)).toEqual({ adults: 2, report: 2 });
  });

  it('keeps the old object where the equality of the query holds', () => {
    const graph = new Graph();
    const numbers = graph.collection<number>('numbers');
    const boxed = graph.query<string, { readonly parity: number }>({
      name: 'boxed',
      id,
      compute: (read, key) => ({ parity: (read.get(numbers, key) ?? 0) % 2 }),
      equal: (a, b) => a.parity === b.parity,
    });
    numbers.set('a', 1);
    const first = graph.read(boxed, 'a');
    graph.observe(boxed, 'a');
    graph.settle();
    numbers.set('a', 3);
    expect(graph.settle()).toEqual([]);
    expect(graph.read(boxed, 'a')).toBe(first);
  });

  it('a move between index keys reaches the readers of both, and nobody else', () => {
    const { graph, people, report } = teams();
    people.set('ann', { team: 'red', age: 30 });
    for (const team of ['red', 'blue', 'green']) graph.observe(report, team);
    graph.settle();
    people.set('ann', { team: 'blue', age: 30 });
    const changes = graph.settle();
    expect(new Set(changes.map((c) => c.after))).toEqual(new Set(['red: 0', 'blue: 1']));
    expect(counts(graph)['adults']).toBe(5);
  });
});

describe('an index', () => {
  it('gives its entries sorted by key, whatever the order of arrival', () => {
    const { people, byTeam } = teams();
    const names = Array.from({ length: 200 }, (_, i) => `p${(i * 7919) % 200}`);
    for (const name of names) {
      people.set(name, { team: 'red', age: 1 });
      if (name.endsWith('3')) byTeam.peek('red');
    }
    expect(byTeam.peek('red').map((e) => e.key)).toEqual([...names].sort());
  });

  it('never changes a list that it has given away', () => {
    const { people, byTeam } = teams();
    people.set('b', { team: 'red', age: 1 });
    const before = byTeam.peek('red');
    people.set('a', { team: 'red', age: 1 });
    people.delete('b');
    expect(before.map((e) => e.key)).toEqual(['b']);
    expect(byTeam.peek('red').map((e) => e.key)).toEqual(['a']);
  });

  it('is refused once its collection has entries', () => {
    const { people } = teams();
    people.set('a', { team: 'red', age: 1 });
    expect(() => people.index('late', () => [])).toThrow(/not empty/u);
  });
});

describe('collection of what nobody needs', () => {
  it('drops a query, what it read, and its cells once nobody observes or reads it', () => {
    const { graph, people, report } = teams();
    people.set('ann', { team: 'red', age: 30 });
    graph.observe(report, 'red');
    graph.observe(report, 'blue');
    graph.settle();
    expect(graph.size).toBe(4);
    graph.unobserve(report, 'red');
    graph.settle();
    expect(graph.size).toBe(2);
    graph.unobserve(report, 'blue');
    graph.settle();
    expect(graph.size).toBe(0);
    people.set('ann', { team: 'red', age: 3 });
    expect(graph.settle()).toEqual([]);
    expect(counts(graph)).toEqual({ adults: 2, report: 2 });
  });

  it('keeps what another still reads', () => {
    const { graph, adults, report } = teams();
    graph.observe(report, 'red');
    graph.observe(adults, 'red');
    graph.settle();
    graph.unobserve(adults, 'red');
    graph.settle();
    expect(graph.size).toBe(2);
  });

  it('drops a value read from outside at the next settle', () => {
    const { graph, report } = teams();
    expect(graph.read(report, 'red')).toBe('red: 0');
    expect(graph.size).toBe(2);
    graph.settle();
    expect(graph.size).toBe(0);
  });

  it('reports again what is observed again', () => {
    const { graph, report } = teams();
    graph.observe(report, 'red');
    graph.settle();
    graph.unobserve(report, 'red');
    graph.observe(report, 'red');
    expect(graph.settle().map((c) => [c.before, c.after])).toEqual([[undefined, 'red: 0']]);
  });

  it('a read that is no longer made no longer counts', () => {
    const graph = new Graph();
    const switches = graph.collection<string>('switches');
    const leaf = graph.query<string, string>({ name: 'leaf', id, compute: (_, key) => key });
    const root = graph.query<string, string>({
      name: 'root',
      id,
      compute: (read, key) => read.query(leaf, read.get(switches, key) ?? 'none'),
    });
    switches.set('s', 'a');
    graph.observe(root, 's');
    graph.settle();
    switches.set('s', 'b');
    graph.settle();
    expect([...leaf.nodes.keys()]).toEqual(['b']);
  });
});

describe('an error', () => {
  function failing() {
    const graph = new Graph();
    const numbers = graph.collection<number>('numbers');
    const positive = graph.query<string, number>({
      name: 'positive',
      id,
      compute: (read, key) => {
        const value = read.get(numbers, key) ?? 0;
        if (value < 0) throw new RangeError(`${key} is negative`);
        return value;
      },
    });
    const sum = graph.query<string, number>({
      name: 'sum',
      id,
      compute: (read) => read.query(positive, 'a') + read.query(positive, 'b'),
    });
    return { graph, numbers, positive, sum };
  }

  it('is an outcome: told once, thrown to readers, and gone when what was read changes', () => {
    const { graph, numbers, sum } = failing();
    numbers.set('a', 1);
    graph.observe(sum, '');
    graph.settle();
    numbers.set('a', -1);
    const [change, ...rest] = graph.settle();
    expect(rest).toEqual([]);
    expect(change?.before).toBe(1);
    expect(change?.after).toBeUndefined();
    expect(change?.failure?.error).toEqual(new RangeError('a is negative'));
    expect(() => graph.read(sum, '')).toThrow('a is negative');
    numbers.set('a', -2);
    expect(graph.settle()).toEqual([]);
    numbers.set('b', 7);
    expect(graph.settle()).toEqual([]);
    numbers.set('a', 2);
    expect(graph.settle().map((c) => [c.before, c.after, c.failure])).toEqual([[1, 9, undefined]]);
  });

  it('is told as over even when the value comes back as it was', () => {
    const { graph, numbers, sum } = failing();
    graph.observe(sum, '');
    graph.settle();
    numbers.set('b', -1);
    graph.settle();
    numbers.set('b', 0);
    expect(graph.settle().map((c) => [c.before, c.after])).toEqual([[0, 0]]);
  });

  it('of one key leaves the others alone', () => {
    const { graph, numbers, positive } = failing();
    numbers.set('a', -1);
    numbers.set('b', 1);
    graph.observe(positive, 'a');
    graph.observe(positive, 'b');
    const changes = graph.settle();
    expect(changes.map((c) => c.after)).toEqual([undefined, 1]);
  });
});

describe('a circle of queries', () => {
  function circle() {
    const graph = new Graph();
    const next = graph.collection<string>('next');
    const walk: Query<string, string> = graph.query({
      name: 'walk',
      id,
      compute: (read, key): string => {
        const to = read.get(next, key);
        return to === undefined ? key : `${key}${read.query(walk, to)}`;
      },
    });
    return { graph, next, walk };
  }

  it('is an error that names the path, and is over when a link is cut', () => {
    const { graph, next, walk } = circle();
    next.set('a', 'b');
    next.set('b', 'c');
    next.set('c', 'a');
    for (const key of ['b', 'a']) graph.observe(walk, key);
    const errors = graph.settle().map((c) => c.failure?.error);
    expect(errors).toHaveLength(2);
    for (const error of errors) expect(error).toBeInstanceOf(CycleError);
    expect(String(errors[0])).toContain('walk(b) → walk(c) → walk(a) → walk(b)');
    next.delete('c');
    expect(new Set(graph.settle().map((c) => c.after))).toEqual(new Set(['abc', 'bc']));
  });

  it('is collected when nobody observes it', () => {
    const { graph, next, walk } = circle();
    next.set('a', 'b');
    next.set('b', 'a');
    graph.observe(walk, 'a');
    graph.settle();
    expect(graph.size).toBe(2);
    graph.unobserve(walk, 'a');
    graph.settle();
    expect(graph.size).toBe(0);
  });

  it('of one query with itself is an error too', () => {
    const { graph, next, walk } = circle();
    next.set('a', 'a');
    expect(() => graph.read(walk, 'a')).toThrow(CycleError);
    next.delete('a');
    expect(graph.read(walk, 'a')).toBe('a');
  });
});

describe('a key that another query has already', () => {
  it('is given in place of its equals, as long as somebody needs it', () => {
    const graph = new Graph();
    const pairs = graph.query<readonly [number, number], number>({
      name: 'pairs',
      id: (pair) => pair.join(),
      compute: (_, [a, b]) => a + b,
    });
    const keys = graph.query<string, readonly [number, number]>({
      name: 'keys',
      id,
      compute: (read) => read.same(pairs, [1, 2]),
      equal: (a, b) => a.join() === b.join(),
    });
    const first = [1, 2] as const;
    graph.observe(pairs, first);
    graph.settle();
    expect(graph.read(keys, 'a')).toBe(first);
    graph.unobserve(pairs, first);
    graph.settle();
    expect(graph.read(keys, 'b')).toEqual(first);
    expect(graph.read(keys, 'b')).not.toBe(first);
  });
});

describe('where a value comes from', () => {
  it('is told as the keys of all entries that were read, through indexes and other queries', () => {
    const { graph, people, report, adults } = teams();
    people.set('ann', { team: 'red', age: 30 });
    people.set('bob', { team: 'red', age: 3 });
    people.set('cid', { team: 'blue', age: 3 });
    graph.observe(report, 'red');
    graph.settle();
    expect([...graph.entriesOf(report, 'red')]).toEqual(['ann', 'bob']);
    expect([...graph.entriesOf(adults, 'blue')]).toEqual([]);
  });
});

describe('misuse', () => {
  it('a reader kept beyond its computation is refused', () => {
    const graph = new Graph();
    const numbers = graph.collection<number>('numbers');
    const leak = graph.query<string, () => number | undefined>({
      name: 'leak',
      id,
      compute: (read, key) => () => read.get(numbers, key),
    });
    const late = graph.read(leak, 'a');
    expect(late).toThrow(/outside of its computation/u);
  });

  it('an input that changes, or a graph that is read, inside a query is refused', () => {
    const graph = new Graph();
    const numbers = graph.collection<number>('numbers');
    const writes = graph.query<string, boolean>({
      name: 'writes',
      id,
      compute: (_, key) => numbers.set(key, 1),
    });
    const around = graph.query<string, boolean>({
      name: 'around',
      id,
      compute: (_, key) => graph.read(writes, key),
    });
    expect(() => graph.read(writes, 'a')).toThrow(/while a query was computing/u);
    expect(() => graph.read(around, 'a')).toThrow(/past the reader/u);
    expect(numbers.peek('a')).toBeUndefined();
  });
});
