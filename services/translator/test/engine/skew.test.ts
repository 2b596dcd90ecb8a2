/** A translator beside ingesters, translators and pushers of later versions. */
import type { Append } from '@watershed/log/port.ts';
import { topics, xdsKeys } from '@watershed/model/keys.ts';
import { expect, it } from 'vitest';
import { createPlans } from '../../src/assembly/plans.ts';
import { clusterType } from './support/plans.ts';
import { translatedOf } from './support/translated.ts';
import { partitions, service } from './support/world.ts';
import type { World, WorldOptions } from './support/world.ts';

/** Field 1000 of any message, a varint: nobody knows it yet. */
const later = Uint8Array.of(0xc0, 0x3e, 1);
const translated = (options: WorldOptions = {}): Promise<World> =>
  translatedOf([service({ host: 'a.test' })], options);

function withMore(append: Append): Append {
  return { ...append, value: Buffer.concat([append.value ?? new Uint8Array(), later]) };
}

function ofSchema(append: Append, schema: string): Append {
  return { ...append, headers: { schema } };
}

/** That the cluster of a.test was made with. */
async function portOf(world: World): Promise<number | undefined> {
  const resource = await world.resource(clusterType, 'a.test');
  const text = JSON.stringify(resource && world.decode(resource));
  return Number(/"number":(\d+)/u.exec(text)?.[1]);
}

const findings = (world: World): readonly (readonly [string, string])[] =>
  world.translator.engine.findings.map(({ object, reason }) => [object, reason]);

it('reads a record with a field that it does not know, without a word', async () => {
  const world = await translated();
  await world.write(withMore(service({ host: 'a.test', port: 81 })));
  expect(await portOf(world)).toBe(81);
  expect(findings(world)).toEqual([]);
});

it('goes on with values of enums that it does not know', async () => {
  const world = await translated({ plans: createPlans, cacheEntries: 50_000 });
  const [tag = 0, length = 0, ...inner] = service({ host: 'odd.test', port: 81 }).value ?? [];
  expect(length).toBe(inner.length);
  // Origin, resolution, distribution and families: of each value 99.
  const odd = [...inner, 0x20, 99, 0x30, 99, 0x90, 1, 99, 0x98, 1, 99];
  const value = Uint8Array.of(tag, odd.length, ...odd);
  await world.write({ ...service({ host: 'odd.test' }), value }, service({ host: 'next.test' }));
  const keys = [...(await world.outputs()).keys()].filter((key) => key.startsWith('r|'));
  expect(keys.some((key) => key.includes('next.test'))).toBe(true);
  expect(world.fatal).toEqual([]);
});

it('says which kinds it does not know, until they are gone, and goes on', async () => {
  const world = await translated();
  const key = 'c|rateLimit|shop|a';
  const unknown = { topic: topics.config, partition: 0, key, value: later };
  await world.write(unknown, service({ host: 'a.test', port: 81 }));
  expect(await portOf(world)).toBe(81);
  expect(findings(world)).toEqual([
    [key, 'its record on the log is left out: unknown kind "rateLimit"'],
  ]);
  await world.write({ ...unknown, value: undefined });
  expect(findings(world)).toEqual([]);
  expect(world.fatal).toEqual([]);
});

it('keeps the last value of an object whose event is of a case that it does not know', async () => {
  const world = await translated();
  await world.write({ ...service({ host: 'a.test' }), value: later });
  expect(await portOf(world)).toBe(80);
  expect(findings(world)).toEqual([
    [
      'c|service|shop|a.test',
      'its record on the log is left out: the event is of kind none that this version knows',
    ],
  ]);
  await world.write(service({ host: 'a.test', port: 82 }));
  expect(await portOf(world)).toBe(82);
  expect(findings(world)).toEqual([]);
});

it('keeps the last value of an object whose record is of a later schema, and says so', async () => {
  const world = await translated();
  await world.write(ofSchema(service({ host: 'a.test', port: 81 }), '2'));
  expect(await portOf(world)).toBe(80);
  expect(findings(world)).toEqual([
    [
      'c|service|shop|a.test',
      'its record on the log is left out: it is of schema "2", and this version reads up to 1',
    ],
  ]);
  await world.write(ofSchema(service({ host: 'a.test', port: 82 }), '1'));
  expect(await portOf(world)).toBe(82);
  expect(findings(world)).toEqual([]);
});

it('takes nothing over while there are records of a later schema when it starts', async () => {
  const world = await translated();
  await world.stop();
  const before = await world.content();
  await world.write(ofSchema(service({ host: 'a.test', port: 81 }), '2'));
  let isStarted = false;
  const started = world.start().then(() => {
    isStarted = true;
  });
  for (let turn = 0; turn < 50; turn++) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  expect(isStarted).toBe(false);
  expect(world.takeAppended()).toEqual([]);
  expect(await world.content()).toEqual(before);
  await world.log.append([service({ host: 'a.test', port: 82 })]);
  await started;
  expect(await portOf(world)).toBe(82);
  expect(world.fatal).toEqual([]);
});

it('leaves what a later translator said more as it is, when it takes its partitions over', async () => {
  const world = await translated();
  await world.stop();
  const said = new Map<string, Uint8Array>();
  for (let partition = 0; partition < partitions; partition++) {
    const stop = AbortSignal.timeout(5_000);
    for await (const batch of world.log.read(topics.xds, partition, undefined, stop)) {
      for (const { key, value, headers } of batch.records) {
        if (value === undefined || key.startsWith('!')) continue;
        const more = Buffer.concat([value, later]);
        said.set(key, more);
        const record = { topic: topics.xds, partition, headers };
        await world.log.append([{ ...record, key, value: more }]);
        await world.log.append([{ ...record, key: `z|${partition}`, value: later }]);
      }
      break;
    }
  }
  await world.start();
  expect(said.has(xdsKeys.resource(clusterType, 'a.test', ''))).toBe(true);
  expect(world.takeAppended()).toEqual([]);
  await world.write(service({ host: 'a.test', port: 81 }));
  expect(world.takeAppended()).toContain(xdsKeys.resource(clusterType, 'a.test', ''));
  expect([...(await world.outputs()).keys()]).toContain('z|0');
});

it('hears nothing of what it does not know on feedback', async () => {
  const world = await translated();
  const topic = topics.feedback;
  await world.write(
    { topic, partition: 0, key: 'x|later', value: later },
    { topic, partition: 0, key: 'd|later|scope', value: later },
    { topic, partition: 0, key: 'd|later|other', value: later, headers: { schema: '2' } },
  );
  await world.write(service({ host: 'a.test', port: 81 }));
  expect(await portOf(world)).toBe(81);
  expect(world.fatal).toEqual([]);
});
