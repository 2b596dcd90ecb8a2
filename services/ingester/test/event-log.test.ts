import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbeddedLog, type EmbeddedLog } from '@watershed/log/embedded.ts';
import { configKey, endpointsKey } from '@watershed/model/keys.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { EventWrite } from '../src/core/publisher.ts';
import { EventLog } from '../src/event-log.ts';

let folder = '';
let log: EmbeddedLog;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'event-log-'));
  log = await openEmbeddedLog({ dir: join(folder, 'log'), time: systemTime });
  const retention = { kind: 'compact', tombstoneMs: 3_600_000 } as const;
  const names = ['config', 'objects', 'endpoints', 'history'];
  await log.ensureTopics(names.map((name) => ({ name, partitions: 1, retention })));
});
afterEach(async () => {
  await log.close();
  await rm(folder, { recursive: true });
});

test('who takes over knows which object each record comes from, and reads each topic once', async () => {
  const reads: string[] = [];
  const counted = new Proxy(log, {
    get: (target, name) => {
      if (name !== 'read') return Reflect.get(target, name, target).bind(target);
      return (...args: Parameters<EmbeddedLog['read']>) => {
        reads.push(args[0]);
        return target.read(...args);
      };
    },
  });
  const open = () =>
    EventLog.open({
      ...{ log: counted, cluster: 'one', partitions: { endpoints: 1, history: 1 } },
      ...{ writer: 'test', time: systemTime, tracing: noTracing },
    });
  const write = (name: string, owner: string, value: number | undefined): EventWrite => ({
    topic: 'config',
    key: configKey({ cluster: 'one', kind: 'service', namespace: 'shop', name }),
    value: value === undefined ? undefined : new Uint8Array([value]),
    ...{ owner, unit: 'a.yaml', version: '1', traceparent: undefined },
  });
  const slice = { cluster: 'one', kind: 'slice', namespace: 'shop', name: 'e' } as const;
  const endpoints = endpointsKey({ ...slice, host: 'cart.shop' });
  const first = await open();
  await first.write([
    { ...write('', '/EndpointSlice/shop/e', 1), topic: 'endpoints', key: endpoints },
    write('cart', '/Old/shop/cart', 1),
    write('gone', '/Service/shop/gone', 1),
  ]);
  await first.write([write('cart', '/Service/shop/cart', 2), write('gone', '', undefined)]);
  await first.close();
  reads.length = 0;
  const second = await open();
  expect(second.stored().events).toMatchObject([
    { topic: 'config', owner: '/Service/shop/cart', value: new Uint8Array([2]) },
    { topic: 'endpoints', key: endpoints, owner: '/EndpointSlice/shop/e' },
  ]);
  expect(reads.toSorted()).toEqual(['config', 'endpoints', 'objects']);
  await second.close();
});
