import { expect, it } from 'vitest';
import { SharedResource, XdsRecord } from '@watershed/model/gen/record.ts';
import { xdsKeys } from '@watershed/model/keys.ts';
import { Published, type OutputRecord } from '../../src/engine/published.ts';

const resource = (name: string): NonNullable<XdsRecord['record']> => {
  return { $case: 'resource', value: SharedResource.fromPartial({ typeUrl: 't', name }) };
};

it('what was of an epoch that config has lost is appended once more, as of the present one', async () => {
  const appended: OutputRecord[] = [];
  const published = new Published({
    append: async (records) => {
      appended.push(...records);
    },
  });
  const mark = { $case: 'watermark', value: { partition: 0, epoch: 30 } } as const;
  published.gain(0, [
    ['r|t|old|', XdsRecord.encode({ record: resource('old'), epoch: 20 }).finish()],
    ['r|t|late|', XdsRecord.encode({ record: resource('late'), epoch: 30 }).finish()],
    [xdsKeys.watermark(0), XdsRecord.encode({ record: mark, epoch: 30 }).finish()],
  ]);
  published.bringTo(25);
  await published.flush({});
  const told = appended.map(({ key, value }) => [key, value && XdsRecord.decode(value)]);
  expect(told).toEqual([['r|t|late|', { record: resource('late'), epoch: 25 }]]);
  published.bringTo(25);
  expect(await published.flush({})).toBe(0);
});
