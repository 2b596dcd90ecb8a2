import { Graph } from '@watershed/derive/graph.ts';
import { Event } from '@watershed/model/gen/model.ts';
import { configKey, endpointsKey, type ConfigKind } from '@watershed/model/keys.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { expect, test } from 'vitest';
import { RegistryMetrics } from '../../src/engine/registry-metrics.ts';
import { applyRecord, createInputs } from '../../src/inputs.ts';

test("what is known, and what changes of it, is counted by istiod's names", async () => {
  const metrics = new Metrics();
  const inputs = createInputs(new Graph());
  const registry = new RegistryMetrics(metrics, inputs);
  const change = (kind: ConfigKind, name: string, object: object | undefined): void => {
    const key = configKey({ cluster: 'c', kind, namespace: 'shop', name });
    const event = Event.fromPartial({ object: { $case: kind, value: object ?? {} } });
    const value = object === undefined ? undefined : Event.encode(event).finish();
    const { outcome } = applyRecord(inputs, 'config', key, value);
    if (outcome === 'changed') registry.changed('config', key, value === undefined);
  };
  for (const name of ['cart', 'web', 'orders']) change('service', name, { host: name });
  change('service', 'web', { host: 'web', ports: [{ number: 80 }] });
  change('service', 'orders', undefined);
  change('route', 'canary', { hosts: ['web'] });
  change('policy', 'web', { host: 'web' });
  const endpoints = { host: 'web', cluster: 'c', namespace: 'shop', name: 'web-1' };
  registry.changed('endpoints', endpointsKey({ ...endpoints, kind: 'slice' }), false);

  const updates = (type: string): Promise<number> =>
    metrics.value('pilot_inbound_updates', { type });
  expect(await Promise.all(['svc', 'svcdelete', 'config', 'eds'].map(updates))).toEqual([
    4, 1, 2, 1,
  ]);
  expect(await metrics.value('pilot_services')).toBe(2);
  expect(await metrics.value('pilot_virt_services')).toBe(1);
});
