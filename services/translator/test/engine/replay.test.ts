/**
 * Random histories: what a process publishes depends on the log alone, not on when it was started.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PartitionGroup } from '@watershed/log/group.ts';
import type { Append } from '@watershed/log/port.ts';
import { digestText } from '../../src/bytes.ts';
import { badHost, badPort } from './support/plans.ts';
import {
  endpoints,
  policy,
  route,
  scopeClass,
  service,
  sidecar,
  source,
  World,
} from './support/world.ts';

interface Command {
  readonly write: Append;
  /** Whether a generator or assembly fails on it: then what came before matters. */
  readonly bad: boolean;
}

const good = (write: Append): Command => ({ write, bad: false });

const host = fc.constantFrom('a.test', 'b.test', 'c.test');
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({
        host: fc.oneof({ weight: 6, arbitrary: host }, fc.constantFrom('*.bad', badHost)),
        port: fc.constantFrom(80, 81, 82, badPort),
        exportTo: fc.constantFrom(['*'], ['shop'], ['other'], ['~']),
        gone: fc.constantFrom(false, false, true),
      })
      .map((spec) => {
        const bad = spec.port === badPort || spec.host === '*.bad' || spec.host === badHost;
        return { write: service(spec), bad };
      }),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(host, fc.constantFrom(undefined, 0, 5))
      .map(([h, ms]) => good(policy(h, ms))),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(host, fc.subarray(['10.0.0.1', '10.0.0.2', '10.0.0.3']))
      .map(([h, addresses]) => good(endpoints(h, ...addresses))),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.constantFrom('r', 's'),
        fc.option(host, { nil: undefined }),
        fc.constantFrom('shop', 'other'),
      )
      .map(([name, to, namespace]) => good(route(name, to, namespace))),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom('shop', 'other'), fc.constantFrom(undefined, 'app', 'tier'))
      .map(([namespace, label]) => good(sidecar(namespace, label))),
  },
);
/** Steps are written at once, and so are one pass or two. */
const history = fc.array(fc.array(command, { minLength: 1, maxLength: 4 }), { maxLength: 8 });

/**
 * Runs a history, by one translator or by one for each partition, with restarts before some of its
 * steps.
 */
async function run<T>(
  steps: readonly (readonly Command[])[],
  restarts: readonly boolean[],
  end: (world: World) => Promise<T>,
  sharded = false,
): Promise<T> {
  const world = await World.open();
  try {
    await world.write(source());
    await world.demand(scopeClass('shop'));
    await world.demand(scopeClass('other'));
    await world.start(sharded ? { group: memberOf(0) } : {});
    if (sharded) await world.startAnother({ group: memberOf(1) });
    for (const [at, step] of steps.entries()) {
      if (restarts[at] === true) await world.restart();
      await world.write(...step.map((one) => one.write));
    }
    expect(world.fatal).toEqual([]);
    return await end(world);
  } finally {
    await world.close();
  }
}

function memberOf(partition: number): PartitionGroup {
  const join: PartitionGroup['join'] = (assigned) => assigned(new Set([partition]));
  return { shared: true, join, leave: () => Promise.resolve() };
}

/** Every record without its epoch, with the bytes that it names. */
async function published(world: World): Promise<unknown> {
  const content = await world.content();
  for (const { record } of (await world.outputs()).values()) {
    const named =
      record?.$case === 'resource'
        ? record.value.fragments
        : record?.$case === 'manifest'
          ? [record.value.content]
          : [];
    for (const digest of named) expect(world.blobs.held.has(digestText(digest))).toBe(true);
  }
  return content;
}

describe('under any history', () => {
  it('a process that is restarted now and then publishes what one that lived through it does', async () => {
    await fc.assert(
      fc.asyncProperty(
        history,
        fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
        async (steps, restarts) => {
          const lived = await run(steps, [], published);
          expect(await run(steps, restarts, published)).toEqual(lived);
        },
      ),
      { numRuns: 15 },
    );
  });

  it('a restart at the end appends nothing', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        await run(steps, [], async (world) => {
          world.takeAppended();
          await world.restart();
          expect(world.takeAppended()).toEqual([]);
        });
      }),
      { numRuns: 10 },
    );
  });

  it('without bad objects, a new process on a new log publishes the same from the last values alone', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const fine = steps.map((step) => step.filter((one) => !one.bad));
        const last = new Map(fine.flat().map((one) => [one.write.key, one]));
        const whole = await run([...fine.filter((s) => s.length > 0)], [], listed);
        expect(await run([[...last.values()]], [], listed)).toEqual(whole);
      }),
      { numRuns: 15 },
    );
  });

  // A shard lists what is another's without knowing whether it was ever good: pushers wait for it.
  it('without bad objects, two shards publish together what one does alone', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const fine = steps.map((step) => step.filter((one) => !one.bad));
        const alone = await run(fine, [], published);
        expect(await run(fine, [], published, true)).toEqual(alone);
      }),
      { numRuns: 15 },
    );
  });

  it('whatever the log loses to compaction does not matter', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        await run(steps, [], async (world) => {
          const before = await published(world);
          await world.stop();
          await world.log.compact();
          await world.start();
          expect(await published(world)).toEqual(before);
        });
      }),
      { numRuns: 10 },
    );
  });
});

/**
 * What manifests list and what it is; resources that wait for the end of their grace are left out.
 */
async function listed(world: World): Promise<unknown> {
  const all = await world.outputs();
  const found: Record<string, unknown> = {};
  for (const [key, { record }] of all) {
    if (record?.$case === 'selectors') found[key] = record.value;
    if (record?.$case !== 'manifest') continue;
    const manifest = await world.manifest(key.slice(2));
    found[key] = manifest;
    for (const { typeUrl, shared } of manifest?.types ?? []) {
      for (const { name } of shared) {
        found[`${typeUrl} ${name}`] = await world.resource(typeUrl, name);
      }
    }
  }
  return found;
}
