/** What looks empty because its endpoints are read later, or its service's end, is not published so. */
import { expect, test } from 'vitest';
import { Event } from '@watershed/model/gen/model.ts';
import { configKey, endpointsKey } from '@watershed/model/keys.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { createPlans } from '@watershed/translator/assembly/plans.ts';
import { scopeOf } from '../../services/translator/test/assembly/support/world.ts';
import { Bed, type Input } from './bed.ts';

const host = 'web.shop.svc.cluster.local';
const name = `outbound|80||${host}`;

const web: Input = {
  topic: 'config',
  key: configKey({ cluster: 'c', kind: 'service', namespace: 'shop', name: 'web' }),
  object: Event.fromJSON({
    service: {
      ...{ host, namespace: 'shop', name: 'web', exportTo: ['*'], addresses: ['10.0.0.1'] },
      ports: [{ number: 80, name: 'http', protocol: 'PROTOCOL_HTTP' }],
    },
  }).object,
};

function slice(...addresses: readonly string[]): Input {
  const endpoints = addresses.map((address) => ({ address, ports: { http: 8080 } }));
  return {
    topic: 'endpoints',
    key: endpointsKey({ host, cluster: 'c', kind: 'slice', namespace: 'shop', name: 'a' }),
    object: Event.fromJSON({ endpoints: { host, namespace: 'shop', endpoints } }).object,
  };
}

const gone = (input: Input): Input => ({ ...input, object: undefined });

async function open(inputs: readonly Input[]) {
  const reads: (() => void)[] = [];
  const scope = scopeOf({ namespace: 'shop' });
  const bed = await Bed.open(createPlans, { inputs, scopes: [scope] }, undefined, {
    ...{ partitions: 1, owned: [0] },
    allRead: () => new Promise((resolve) => reads.push(resolve)),
  });
  /** All is read that was on the log when it was asked for: each time so far, or the first ones. */
  const read = async (times = reads.length): Promise<void> => {
    for (const done of reads.splice(0, times)) done();
    await bed.apply([]);
  };
  const published = (): string => bed.published(resourceTypes.endpoint, name);
  /** Names of the clusters and of the assignments in the scope's manifest. */
  const listed = async (): Promise<readonly (readonly string[])[]> => {
    const content = await bed.manifest(scope);
    return [resourceTypes.cluster, resourceTypes.endpoint].map(
      (type) =>
        content?.types.find(({ typeUrl }) => typeUrl === type)?.shared.map((one) => one.name) ?? [],
    );
  };
  return { bed, read, published, listed };
}

test('the assignment of a new service waits for endpoints that are on the log', async () => {
  const { bed, read, published } = await open([]);
  await bed.apply([web]);
  expect(published()).toBe('');
  await bed.apply([slice('10.1.0.1')]);
  const full = published();
  expect(full).not.toBe('');
  await read();
  expect(published()).toBe(full);
  await bed.close();
});

test('a manifest lists the assignment of a new service before it is there: pushers wait for it', async () => {
  const { bed, read, published, listed } = await open([]);
  await bed.apply([web]);
  const [clusters, assignments] = await listed();
  expect([clusters?.includes(name), assignments?.includes(name)]).toEqual([true, true]);
  expect(published()).toBe('');
  await read();
  expect(published()).not.toBe('');
  expect(await listed()).toEqual([clusters, assignments]);
  await bed.close();
});

test('one that has none is empty once all is read', async () => {
  const { bed, read, published } = await open([]);
  await bed.apply([web]);
  await read();
  expect(published()).not.toBe('');
  await bed.close();
});

test('the endpoints of a service that goes stay until it is known whether it went', async () => {
  const { bed, read, published } = await open([web, slice('10.1.0.1')]);
  const full = published();
  await bed.apply([gone(slice())]);
  expect(published()).toBe(full);
  await read();
  expect(published()).not.toBe(full);
  await bed.apply([slice('10.1.0.1')]);
  expect(published()).toBe(full);
  // Now its end is read in time: what it had stays as long as anybody lists it.
  await bed.apply([gone(slice())]);
  await bed.apply([gone(web)]);
  await read();
  expect(['', full]).toContain(published());
  await bed.close();
});

test('what was on the log at one doubt says nothing of the next one', async () => {
  const { bed, read, published } = await open([web, slice('10.1.0.1')]);
  const full = published();
  await bed.apply([gone(slice())]);
  await bed.apply([slice('10.1.0.1')]);
  await bed.apply([gone(slice())]);
  await read(1);
  expect(published()).toBe(full);
  await read();
  expect(published()).not.toBe(full);
  await bed.close();
});

test('what was empty when the partition was taken over is so at once', async () => {
  const { bed, published } = await open([web]);
  expect(published()).not.toBe('');
  await bed.close();
});
