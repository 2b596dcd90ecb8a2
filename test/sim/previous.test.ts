import { expect, test } from 'vitest';
import { topicSpecs } from '@watershed/log/topics.ts';
import { XdsRecord } from '@watershed/model/gen/record.ts';
import { topics } from '@watershed/model/keys.ts';
import { realTime } from '../../libs/log/test/support.ts';
import { perfectNetwork, SimLog } from './log/log.ts';
import { SimStore } from './log/store.ts';
import { previousSchema } from './previous.ts';

const [xds, key] = [topics.xds, 'r'];

function recordOf(name: string, inlined: readonly Uint8Array[]): Uint8Array {
  const value = { name, inlined: [...inlined] };
  return XdsRecord.encode(XdsRecord.fromPartial({ record: { $case: 'resource', value } })).finish();
}

test('a process of the previous schema hands on what it has read as it was, and does not know all of it', async () => {
  const store = new SimStore();
  store.ensure(topicSpecs({ shards: 1 }));
  const log = new SimLog({ store, time: realTime, network: perfectNetwork });
  const previous = previousSchema(log);
  const inlined = recordOf('a', [Buffer.from('bytes')]);
  await log.append([{ topic: xds, partition: 0, key, value: inlined, headers: {} }]);
  const reading = previous.read(xds, 0, undefined, new AbortController().signal);
  const { value: batch } = await reading[Symbol.asyncIterator]().next();
  const read = batch?.records[0]?.value;
  expect(read).toEqual(recordOf('a', []));
  for (const value of [read, recordOf('b', [Buffer.from('bytes')]), undefined]) {
    await previous.append([{ topic: xds, partition: 0, key, value, headers: {} }]);
  }
  const values = store.partition(xds, 0).records.map(({ value }) => value);
  expect(values).toEqual([inlined, inlined, recordOf('b', []), undefined]);
});
