import type { Append } from '@watershed/log/port.ts';
import { Feedback, type Nack } from '@watershed/model/gen/record.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { expect, it } from 'vitest';
import { FeedbackWriter } from '../../src/feedback.ts';
import { PusherMetrics } from '../../src/metrics.ts';
import { ScopeQuarantines } from '../../src/push/scope-quarantines.ts';
import type { XdsStream } from '../../src/push/stream.ts';
import { World } from '../session/support.ts';
import { loggerInto } from '../support/world.ts';

const common = { scope: 's', typeUrl: 't', resource: 'r', proxyVersion: '1.40.0' };
const nackOf = (...proxies: string[]): Nack => ({
  ...{ ...common, proxies, proxy: proxies.at(-1) ?? '', message: 'no' },
  version: Buffer.from('v2'),
});

/** What a pusher `me` hears, and what it says. */
class Hears {
  readonly time = new VirtualTime();
  readonly said: string[] = [];
  readonly streams: XdsStream[] = [];
  /** What it serves. */
  readonly world = new World();
  readonly quarantines: ScopeQuarantines;
  readonly #metrics = new Metrics();

  constructor() {
    const log = {
      append: async (records: readonly Append[]): Promise<readonly number[]> => {
        for (const { key, value } of records) {
          const report = value === undefined ? undefined : Feedback.decode(value).report;
          const proxies = report?.$case === 'nack' ? report.value.proxies.join() : 'taken back';
          this.said.push(`${key.split('|', 2).join('|')}: ${proxies}`);
        }
        return records.map(() => 0);
      },
    };
    const { time } = this;
    this.world.cut({ t: { r: 'v2' } });
    this.quarantines = new ScopeQuarantines({
      name: 'me',
      context: this.world.context,
      time,
      feedback: new FeedbackWriter({ log: log as never, time, name: 'me' }),
      logger: loggerInto([]),
      metrics: new PusherMetrics(this.#metrics),
      streamsOf: () => this.streams,
      scopes: { view: () => this.world.view },
    });
  }

  /** A proxy here refuses the resource. */
  refuses(id: string, version = 'v2'): XdsStream {
    const node = { id, version: '1.40.0', istioVersion: '' };
    const nothing = (): void => undefined;
    const quiet = { spare: nothing, follow: nothing, newest: nothing };
    const stream: XdsStream = { node, scope: 's', authenticated: true, ...quiet } as never;
    this.streams.push(stream);
    const frame = { plan: { changed: [{ name: 'r', version }] } };
    const error = { code: 13, message: 'no' };
    const nack = { typeUrl: 't', error, culprits: [], sure: true, frame };
    this.quarantines.nacked(stream, nack as never);
    return stream;
  }

  /** What is in quarantine. */
  get count(): Promise<number | undefined> {
    return this.#metrics.value('watershed_quarantined_resources', {});
  }

  /** Pushers tell of themselves, every ten seconds. */
  async members(forMs: number, ...names: readonly string[]): Promise<void> {
    for (let ms = 0; ms <= forMs; ms += 10_000) {
      this.quarantines.members(new Set(names));
      await this.time.advance(10_000);
    }
  }
}

it('what a pusher told is taken back for it when it is gone for a while, and counts no more', async () => {
  const hears = new Hears();
  const { quarantines } = hears;
  quarantines.heard('gone', nackOf('p1', 'p2', 'p3'), true);
  quarantines.heard('there', nackOf('p1'), true);
  expect(await hears.count).toBe(1);
  await hears.members(20_000, 'me', 'there');
  expect(hears.said).toEqual([]);
  await hears.members(30_000, 'me', 'there');
  expect(hears.said).toEqual(['n|gone: taken back']);
  expect(await hears.count).toBe(0);
});

it('of who is back in time, or while a pusher does not hear itself, nothing is taken back', async () => {
  const hears = new Hears();
  hears.quarantines.heard('other', nackOf('p1', 'p2', 'p3'), true);
  for (let times = 0; times < 5; times++) {
    await hears.members(10_000, 'me');
    await hears.members(0, 'me', 'other');
    await hears.members(10_000, 'me');
    await hears.members(60_000);
  }
  expect(hears.said).toEqual([]);
  expect(await hears.count).toBe(1);
});

it('what a process of the same name told before is taken back', async () => {
  const hears = new Hears();
  hears.quarantines.heard('me', nackOf('p1', 'p2', 'p3'), true);
  await hears.time.advance(1);
  expect(hears.said).toEqual(['n|me: taken back']);
  expect(await hears.count).toBe(0);
});

it('what was taken back for a pusher that is there is told again', async () => {
  const hears = new Hears();
  const { quarantines } = hears;
  const stream = hears.refuses('p1');
  await hears.time.advance(1);
  expect(hears.said).toEqual(['n|me: p1']);
  quarantines.heard('me', nackOf('p1'), true);
  quarantines.heard('me', nackOf('p1'), false);
  await hears.time.advance(1);
  expect(hears.said).toEqual(['n|me: p1', 'n|me: p1']);
  // But not what it took back itself.
  quarantines.leave(stream);
  quarantines.heard('me', nackOf('p1'), false);
  await hears.time.advance(1);
  expect(hears.said.slice(2)).toEqual(['n|me: taken back']);
});

it('what comes to the log behind what was told later is not the last word', async () => {
  const hears = new Hears();
  hears.refuses('p1');
  hears.refuses('p2');
  await hears.time.advance(1);
  hears.quarantines.heard('me', nackOf('p1', 'p2'), true);
  await hears.time.advance(1);
  expect(hears.said).toEqual(['n|me: p1,p2']);
  hears.quarantines.heard('me', nackOf('p1'), true);
  await hears.time.advance(1);
  expect(hears.said).toEqual(['n|me: p1,p2', 'n|me: p1,p2']);
});

it('a version that is served no more is not told of, however late a proxy refuses it', async () => {
  const hears = new Hears();
  const { quarantines, world, time } = hears;
  quarantines.viewChanged(world.cut({ t: { r: 'v3' } }));
  hears.refuses('p1', 'v3');
  hears.refuses('p2', 'v2');
  await time.advance(1);
  expect(hears.said).toEqual(['n|me: p1']);
  // Nor is there anything to be quarrelled about with oneself.
  quarantines.heard('me', { ...nackOf('p1'), version: Buffer.from('v3') }, true);
  await time.advance(1);
  expect(hears.said).toEqual(['n|me: p1']);
});

it('who refused a version before it was replaced is asked again when it comes again', async () => {
  const hears = new Hears();
  const { quarantines, world, time, streams } = hears;
  hears.refuses('p1');
  for (const r of ['v3', 'v2']) quarantines.viewChanged(world.cut({ t: { r } }));
  hears.refuses('p2');
  const leaves = hears.refuses('p3');
  streams.pop();
  quarantines.leave(leaves);
  await time.advance(1);
  expect(hears.said).toEqual(['n|me: p2']);
});

it('of a scope that is used here no more nothing is told', async () => {
  const hears = new Hears();
  for (const id of ['p1', 'p2', 'p3']) hears.refuses(id);
  await hears.time.advance(1);
  hears.quarantines.ended('other');
  hears.quarantines.ended('s');
  await hears.time.advance(1);
  expect(hears.said).toEqual(['n|me: p1,p2,p3', 'n|me: taken back']);
  expect(await hears.count).toBe(0);
});
