/** What is around the engine: the log's outages, traces, metrics, debug pages. */
import { LogError } from '@watershed/log/port.ts';
import { formatTraceparent } from '@watershed/runtime/tracing.ts';
import type { SpanOptions, Tracing } from '@watershed/runtime/tracing.ts';
import { describe, expect, it } from 'vitest';
import { clusterType } from './support/plans.ts';
import { translatedOf } from './support/translated.ts';
import { policy, service } from './support/world.ts';
import type { World, WorldOptions } from './support/world.ts';

const translated = (options: WorldOptions = {}): Promise<World> =>
  translatedOf([service({ host: 'a.test' })], options);

const away = (): LogError => new LogError('unavailable', 'the log is away', { retriable: true });
const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
};

describe('while the log is away', () => {
  it('appends are tried again until they are durable', async () => {
    const world = await translated();
    world.failing.appends.push(...Array.from({ length: 6 }, away));
    await world.log.append([policy('a.test', 5)]);
    await turns(20);
    expect(world.takeAppended()).toEqual([]);
    await world.pass(60_000);
    expect(world.takeAppended()).toContain(`r|${clusterType}|a.test|`);
    expect(await world.read(clusterType, 'a.test')).toMatchObject({ timeoutMs: 5 });
    expect(world.fatal).toEqual([]);
  });

  it('reading goes on where it was', async () => {
    const world = await translated();
    world.failing.reads.push(away());
    await world.log.append([policy('a.test', 5)]);
    await turns(20);
    await world.pass(60_000);
    expect(await world.read(clusterType, 'a.test')).toMatchObject({ timeoutMs: 5 });
    expect(world.fatal).toEqual([]);
  });

  it('what does not pass ends the translator, and it can be stopped', async () => {
    const world = await translated();
    world.failing.reads.push(new LogError('corrupt', 'damaged', { retriable: false }));
    await world.log.append([policy('a.test', 5)]);
    await turns(20);
    expect(world.fatal.map(String)).toEqual([expect.stringContaining('damaged')]);
    await world.stop();
  });
});

describe('a trace', () => {
  it('goes on from the event into the records, and the others of a burst are linked', async () => {
    const spans: { name: string; options: SpanOptions | undefined }[] = [];
    const own = formatTraceparent({
      traceId: 'f'.repeat(32),
      spanId: 'e'.repeat(16),
      sampled: true,
    });
    const tracing: Tracing = {
      start: (name, options) => {
        spans.push({ name, options });
        return { traceparent: own, recording: true, set: () => {}, fail: () => {}, end: () => {} };
      },
      shutdown: async () => {},
    };
    const world = await translated({ tracing });
    const traces = ['1', '2'].map((digit) =>
      formatTraceparent({ traceId: digit.repeat(32), spanId: digit.repeat(16), sampled: true }),
    );
    spans.length = 0;
    await world.write(
      ...traces.map((traceparent, at) => ({
        ...service({ host: `t${at}.test` }),
        headers: { traceparent },
      })),
    );
    const [parent, link] = traces;
    expect(spans).toMatchObject([
      { name: 'translate', options: { parent, links: [link] } },
      { name: 'blob.put', options: { parent: own } },
      { name: 'append', options: { parent: own } },
    ]);
    const records = world.steps.flatMap((step) => (step.did === 'append' ? step.records : []));
    expect(records.length).toBeGreaterThan(0);
    for (const record of records) expect(record.headers).toMatchObject({ traceparent: own });
  });
});

describe('operators', () => {
  it('see epochs, stages, encodings and what was appended', async () => {
    const world = await translated();
    await world.write(policy('a.test', 5));
    const value = (name: string, labels = {}): Promise<number> => world.metrics.value(name, labels);
    const { epoch } = world.translator.engine;
    expect(await value('watershed_epoch', { partition: '1' })).toBe(epoch);
    expect(await value('watershed_stage_seconds', { stage: 'translate' })).toBe(1);
    expect(await value('watershed_encodings_total', { type: 'cds' })).toBe(2);
    expect(await value('watershed_scopes')).toBe(1);
    expect(await value('watershed_log_appended_records_total', { topic: 'xds' })).toBeGreaterThan(
      5,
    );
    expect(await value('watershed_log_read_records_total', { topic: 'config' })).toBe(3);
    await world.pass(10_000);
    expect(await value('watershed_log_lag_records', { topic: 'config', partition: '0' })).toBe(0);
  });

  it('see on debug pages what is held, and what is wrong with which object', async () => {
    const world = await translated();
    await world.write(service({ host: 'a.test', port: 13 }));
    const page = (path: string): unknown =>
      world.translator.pages
        .find((one) => one.path === path)
        ?.handle({ method: 'GET', query: new URLSearchParams(), body: '' });
    expect(page('/debug/translator')).toMatchObject({
      epoch: world.translator.engine.epoch,
      statistics: { scopes: 1 },
    });
    expect(page('/debug/diagnosticz')).toMatchObject([
      { kind: 'Service', namespace: 'shop', name: 'a.test', severity: 'error', step: 'translate' },
    ]);
  });
});
