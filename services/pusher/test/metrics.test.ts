import { Metrics } from '@watershed/runtime/metrics.ts';
import { expect, onTestFinished, test } from 'vitest';
import { PusherMetrics } from '../src/metrics.ts';
import { CDS } from './session/support.ts';
import { DeltaClient } from './support/client.ts';
import { scopeOfNode } from './support/scope.ts';
import { run, until } from './support/world.ts';

test('types of which there is nothing are counted together, all others apart', async () => {
  const running = await run();
  onTestFinished(() => running.stop());
  const { id, scopeClass } = scopeOfNode();
  const own = 'type.googleapis.com/own.Address';
  await running.translator.publish({ [CDS]: { a: '1' }, [own]: { b: '1' } }, { [id]: scopeClass });
  const client = new DeltaClient(running.port);
  const madeUp = Array.from({ length: 10 }, (_, i) => `evil.Cds${i}`);
  for (const typeUrl of [CDS, own, ...madeUp]) {
    client.request(typeUrl);
    client.ack(await client.next());
  }
  const { metrics } = running;
  const count = (type: string): Promise<number> => metrics.value('pilot_xds_pushes', { type });
  await until('all is counted', async () => (await count('other')) === madeUp.length);
  expect(await count('cds')).toBe(1);
  expect(await count('address')).toBe(1);
  expect(await metrics.text()).not.toContain('evil');
  client.close();
});

test('versions of proxies are told apart up to a number and a length, and go with the proxies', async () => {
  const metrics = new Metrics();
  const { clients } = new PusherMetrics(metrics);
  const told = async (): Promise<string[]> =>
    [...(await metrics.text()).matchAll(/^pilot_xds\{version="(.*)"\} (\d+)$/gmu)].map(
      ([, version, count]) => `${version} ${count}`,
    );
  const madeUp = Array.from({ length: 300 }, (_, i) => ({
    istioVersion: '',
    version: `${i}-${'x'.repeat(250)}`,
  }));
  const mesh = { istioVersion: '1.29.0', version: '1.40.0' };
  for (const node of madeUp) clients.add(node, 1);
  for (let i = 0; i < 2; i++) clients.add(mesh, 1);
  const all = await told();
  // Also after others have come first.
  expect(all).toContain('1.29.0 2');
  expect(all).toContain('other 269');
  expect(all).toHaveLength(33);
  expect(Math.max(...all.map((line) => line.length))).toBeLessThan(70);

  for (const node of madeUp) clients.add(node, -1);
  clients.add(mesh, -1);
  expect(await told()).toEqual(['1.29.0 1']);
});

test('what autoscalers and rates go by is there before the first of it', async () => {
  const metrics = new Metrics();
  void new PusherMetrics(metrics);
  const told = (await metrics.text()).split('\n');
  expect(told).toContain('watershed_streams{protocol="sotw"} 0');
  expect(told).toContain('watershed_streams{protocol="delta"} 0');
  expect(told).toContain('watershed_xds_waits_given_up_total{stage="hosts"} 0');
  expect(told).toContain('watershed_xds_bad_requests_total{code="resource-exhausted"} 0');
  expect(told).toContain('watershed_xds_refusals_total{reason="denied"} 0');
});
