/** Random queries under random histories: what is kept up to date is what a new graph computes. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Collection, Index } from '../src/collection.ts';
import { Graph } from '../src/graph.ts';
import type { GraphOptions, Query } from '../src/graph.ts';

const keys = ['a', 'b', 'c', 'd', 'e'];
const layers = 3;

/** One step of a query: read something, and perhaps stop there, depending on the sum so far. */
interface Step {
  readonly reads: 'input' | 'index' | 'below';
  readonly key: string;
  /** Skip this read unless the sum so far is a multiple of it: reads depend on what was read. */
  readonly every: number;
}

/** By `layer/key`: what each query does. */
type Program = Readonly<Record<string, readonly Step[]>>;

type Command =
  | { readonly do: 'set'; readonly key: string; readonly value: number }
  | { readonly do: 'delete'; readonly key: string }
  | { readonly do: 'observe' | 'unobserve' | 'read'; readonly at: string }
  | { readonly do: 'settle' };

const anyKey = fc.constantFrom(...keys);
const places = Array.from({ length: layers }, (_, l) => keys.map((k) => `${l}/${k}`)).flat();
const step: fc.Arbitrary<Step> = fc.record({
  reads: fc.constantFrom('input' as const, 'index' as const, 'below' as const),
  key: anyKey,
  every: fc.constantFrom(1, 1, 2, 3),
});
const program: fc.Arbitrary<Program> = fc
  .tuple(...places.map(() => fc.array(step, { minLength: 1, maxLength: 4 })))
  .map((steps) => Object.fromEntries(places.map((place, at) => [place, steps[at] ?? []])));
const place = fc.constantFrom(...places);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('set' as const), key: anyKey, value: fc.nat(9) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), key: anyKey }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('observe' as const, 'unobserve' as const, 'read' as const),
      at: place,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('settle' as const) }) },
);

interface World {
  readonly graph: Graph;
  readonly input: Collection<number>;
  readonly query: Query<string, number>;
  /** An input that no query reads. */
  readonly unread: Collection<number>;
  /** How often each place was computed. */
  readonly runs: Map<string, number>;
}

/** `circular`: "below" means any place at all. */
function world(steps: Program, circular: boolean, options: GraphOptions = {}): World {
  const graph = new Graph(options);
  const input = graph.collection<number>('input');
  const index: Index<number> = input.index('parity', (_, value) => [value % 2 === 0 ? 'a' : 'b']);
  const runs = new Map<string, number>();
  const query: Query<string, number> = graph.query<string, number>({
    name: 'place',
    id: (at) => at,
    compute: (read, at) => {
      runs.set(at, (runs.get(at) ?? 0) + 1);
      const layer = Number(at[0]);
      let sum = 0;
      for (const { reads, key, every } of steps[at] ?? []) {
        if (sum % every !== 0) continue;
        if (reads === 'input') sum += read.get(input, key) ?? 0;
        else if (reads === 'index') sum += read.lookup(index, key).length;
        else if (circular) sum += read.query(query, `${(layer + 1) % layers}/${key}`);
        else if (layer > 0) sum += read.query(query, `${layer - 1}/${key}`);
      }
      if (sum % 11 === 5) throw new Error(`${at} cannot have ${sum}`);
      // Coarse, so that many changes are cut off.
      return sum % 4;
    },
  });
  return { graph, input, query, unread: graph.collection<number>('unread'), runs };
}

function outcome(compute: () => number, circular: boolean): string {
  try {
    return String(compute());
  } catch (error) {
    // In a circle, the place that is asked first decides which error it is, not whether there is
    // one.
    return circular ? 'error' : String(error);
  }
}

/** Runs a history; gives what the graph told of each observed place, and what a new graph says. */
function run(
  steps: Program,
  history: readonly Command[],
  circular: boolean,
  options: GraphOptions = {},
): { told: Map<string, string>; fresh: Map<string, string>; world: World } {
  const live = world(steps, circular, options);
  const told = new Map<string, string>();
  const observed = new Set<string>();
  for (const one of [...history, { do: 'settle' } as const]) {
    if (one.do === 'set') live.input.set(one.key, one.value);
    if (one.do === 'delete') live.input.delete(one.key);
    if (one.do === 'read') outcome(() => live.graph.read(live.query, one.at), circular);
    if (one.do === 'observe') {
      live.graph.observe(live.query, one.at);
      observed.add(one.at);
    }
    if (one.do === 'unobserve') {
      live.graph.unobserve(live.query, one.at);
      observed.delete(one.at);
      told.delete(one.at);
    }
    if (one.do !== 'settle') continue;
    for (const change of live.graph.settle()) {
      const { failure } = change;
      told.set(
        change.id,
        outcome(() => {
          if (failure !== undefined) throw failure.error;
          return Number(change.after);
        }, circular),
      );
    }
  }
  const scratch = world(steps, circular);
  for (const [key, value] of live.input.entries()) scratch.input.set(key, value);
  const fresh = new Map(
    [...observed].map((at) => [at, outcome(() => scratch.graph.read(scratch.query, at), circular)]),
  );
  return { told, fresh, world: live };
}

const sorted = (map: ReadonlyMap<string, string>): unknown =>
  [...map].sort(([a], [b]) => (a < b ? -1 : 1));

describe('under any history', () => {
  for (const circular of [false, true]) {
    it(`what is told equals what a new graph computes${circular ? ', circles included' : ''}`, () => {
      fc.assert(
        fc.property(program, fc.array(command, { maxLength: 60 }), (steps, history) => {
          const { told, fresh } = run(steps, history, circular);
          expect(sorted(told)).toEqual(sorted(fresh));
        }),
        { numRuns: 400 },
      );
    });

    it(`nothing is left when nobody observes any more${circular ? ', circles included' : ''}`, () => {
      fc.assert(
        fc.property(program, fc.array(command, { maxLength: 40 }), (steps, history) => {
          const stop: Command[] = places.map((at) => ({ do: 'unobserve', at }));
          const { world: left } = run(steps, [...history, ...stop], circular);
          expect(left.graph.size).toBe(0);
          expect(left.query.nodes.size).toBe(0);
          const before = left.graph.computed.get('place');
          for (const key of keys) left.input.set(key, 100);
          expect(left.graph.settle()).toEqual([]);
          expect(left.graph.computed.get('place')).toBe(before);
        }),
        { numRuns: 200 },
      );
    });
  }

  it('a settle computes no place twice, and none at all for a key that nobody reads', () => {
    fc.assert(
      fc.property(program, fc.array(command, { maxLength: 30 }), anyKey, (steps, history, key) => {
        const { world: live } = run(steps, history, false);
        live.runs.clear();
        live.input.set(key, (live.input.peek(key) ?? 0) + 2);
        live.graph.settle();
        expect(Math.max(0, ...live.runs.values())).toBeLessThanOrEqual(1);
        live.runs.clear();
        live.unread.set('z', 1);
        live.graph.settle();
        expect(live.runs.size).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  for (const source of ['input', 'input.parity', 'place']) {
    it(`a graph that forgets its reads of ${source} is found out`, () => {
      const forget = (_: string, name: string): boolean => name === source;
      const property = fc.property(
        program,
        fc.array(command, { minLength: 20, maxLength: 60 }),
        (steps, history) => {
          const { told, fresh } = run(steps, history, false, { forget });
          return JSON.stringify(sorted(told)) === JSON.stringify(sorted(fresh));
        },
      );
      expect(fc.check(property, { numRuns: 400, seed: 7 }).failed).toBe(true);
    });
  }
});
