import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { expect, it } from 'vitest';
import { Admission, type AdmissionLimits, type Newcomer } from '../../src/push/admission.ts';

/** A newcomer that costs some of the loop's time, and leaves so many bytes in its transport. */
class Stream implements Newcomer {
  readonly tenant: string;
  readonly #world: World;
  readonly #costMs: number;
  readonly #bytes: number;
  readonly name: string;
  left: (() => void) | undefined;

  constructor(world: World, name: string, { costMs = 0, bytes = 0 } = {}) {
    this.#world = world;
    this.name = name;
    this.tenant = name.split('/')[0] ?? '';
    this.#costMs = costMs;
    this.#bytes = bytes;
  }

  ask(): string {
    const answer = this.#world.admission.ask(this);
    if (answer === 'go') this.admitted();
    return answer;
  }

  admitted(): void {
    this.#world.served.push(this.name);
    this.#world.admission.used(this.#costMs);
    if (this.#bytes > 0) this.left = this.#world.admission.queued(this.#bytes);
  }
}

interface World {
  readonly time: VirtualTime;
  readonly admission: Admission;
  readonly served: string[];
  readonly waited: number[];
  waiting: number;
  /** The loop's other work: how late timers are. */
  lagMs: number;
}

function world(limits: Partial<AdmissionLimits> = {}, ratePerSecond = 0): World {
  const time = new VirtualTime();
  const waited: number[] = [];
  const made = {
    time,
    served: [],
    waited,
    waiting: 0,
    lagMs: 0,
    admission: new Admission({
      clock: time,
      timers: {
        after: (delayMs, callback) => time.after(delayMs + made.lagMs, callback),
        soon: (callback) => time.after(made.lagMs, callback),
      },
      ratePerSecond,
      limits,
      onAdmitted: (waitedMs) => waited.push(waitedMs),
      onWaiting: (count) => {
        made.waiting = count;
      },
    }),
  } as World;
  return made;
}

it('a stream comes in at once where there is room', () => {
  const { admission, waited } = world();
  expect(admission.ask({ tenant: 'a', admitted: () => undefined })).toBe('go');
  expect(waited).toEqual([0]);
});

it('new streams get a slice of each turn, and all are served', async () => {
  const one = world({ sliceMs: 10 });
  for (let i = 0; i < 100; i++) new Stream(one, `a/${i}`, { costMs: 4 }).ask();
  expect(one.served).toHaveLength(3);
  expect(one.waiting).toBe(97);
  one.lagMs = 1;
  await one.time.advance(1);
  expect(one.served.length).toBeLessThanOrEqual(9);
  await one.time.advance(100);
  expect(one.served).toHaveLength(100);
  expect(one.served).toEqual(
    one.served.toSorted((a, b) => Number(a.slice(2)) - Number(b.slice(2))),
  );
  expect(one.waiting).toBe(0);
});

it('tenants take turns: one that brings thousands does not keep another waiting', async () => {
  const one = world({ sliceMs: 1 });
  for (let i = 0; i < 1_000; i++) new Stream(one, `big/${i}`, { costMs: 1 }).ask();
  for (let i = 0; i < 3; i++) new Stream(one, `small/${i}`, { costMs: 1 }).ask();
  one.lagMs = 1;
  await one.time.advance(8);
  expect(one.served.filter((name) => name.startsWith('small'))).toHaveLength(3);
  expect(one.served.length).toBeLessThan(12);
});

it('a loop that is late takes them one by one, and never none', async () => {
  const one = world({ sliceMs: 10, lagMs: 50 });
  for (let i = 0; i < 20; i++) new Stream(one, `a/${i}`, { costMs: 10 }).ask();
  one.lagMs = 100;
  const before = one.served.length;
  await one.time.advance(1_000);
  const during = one.served.length - before;
  expect(during).toBeGreaterThanOrEqual(3);
  expect(during).toBeLessThanOrEqual(10);
  one.lagMs = 1;
  await one.time.advance(1_000);
  expect(one.served).toHaveLength(20);
});

it('no more bytes than are being read: the next come when some have left', async () => {
  const one = world({ queuedBytes: 100, stallMs: 1_000 });
  const streams = Array.from({ length: 4 }, (_, i) => new Stream(one, `a/${i}`, { bytes: 60 }));
  for (const stream of streams) stream.ask();
  await one.time.advance(10);
  expect(one.served).toEqual(['a/0', 'a/1']);
  streams[0]?.left?.();
  await one.time.advance(10);
  expect(one.served).toEqual(['a/0', 'a/1', 'a/2']);
});

it('a client that does not read delays others for a moment only', async () => {
  const one = world({ queuedBytes: 100, stallMs: 1_000 });
  for (let i = 0; i < 5; i++) new Stream(one, `stuck/${i}`, { bytes: 100 }).ask();
  new Stream(one, 'good/0').ask();
  // Its tenant has its turn, then the other.
  await one.time.advance(2_100);
  expect(one.served).toContain('good/0');
});

it('those that go away wait no more, and more than the bound are turned away', async () => {
  const one = world({ sliceMs: 1, maxWaiting: 2 });
  const streams = Array.from({ length: 4 }, (_, i) => new Stream(one, `a/${i}`, { costMs: 1 }));
  expect(streams.map((stream) => stream.ask())).toEqual(['go', 'wait', 'wait', 'full']);
  // Asked again, it keeps its place.
  expect(streams[1]?.ask()).toBe('wait');
  const [, gone] = streams;
  if (gone !== undefined) one.admission.forget(gone);
  expect(one.waiting).toBe(1);
  expect(streams[3]?.ask()).toBe('wait');
  await one.time.advance(10);
  expect(one.served).toEqual(['a/0', 'a/2', 'a/3']);
});

it("a rate is kept where it is set, as istiod's PILOT_MAX_REQUESTS_PER_SECOND", async () => {
  const one = world({}, 10);
  for (let i = 0; i < 30; i++) new Stream(one, `a/${i}`).ask();
  expect(one.served).toHaveLength(1);
  await one.time.advance(1_000);
  expect(one.served).toHaveLength(11);
  await one.time.advance(5_000);
  expect(one.served).toHaveLength(30);
  expect(one.admission.freeBytes).toBe(0);
  expect(one.time.pending).toBe(0);
});
