import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { describe, expect, it } from 'vitest';
import { Alarms, type Sleeper } from '../src/push/alarms.ts';
import { Debouncer } from '../src/push/debounce.ts';
import { FanOut } from '../src/push/fan-out.ts';

describe('the debounce', () => {
  function debouncer(afterMs: number, maxMs: number) {
    const time = new VirtualTime();
    const fired: number[] = [];
    const one = new Debouncer({
      afterMs,
      maxMs,
      clock: time,
      timers: time,
      fire: () => fired.push(time.monotonic()),
    });
    return { time, fired, one };
  }

  it('fires once when it has been quiet', async () => {
    const { time, fired, one } = debouncer(100, 10_000);
    for (let i = 0; i < 10; i++) {
      one.note();
      await time.advance(50);
    }
    expect(fired).toEqual([]);
    await time.advance(1_000);
    expect(fired).toEqual([550]);
  });

  it('fires in the end where it is never quiet, with one timer', async () => {
    const { time, fired, one } = debouncer(100, 1_000);
    for (let i = 0; i < 50; i++) {
      one.note();
      expect(time.pending).toBe(1);
      await time.advance(50);
    }
    expect(fired).toEqual([1_000, 2_000]);
  });

  it('can be told to fire at once, or never', async () => {
    const { time, fired, one } = debouncer(100, 1_000);
    one.note();
    one.flush();
    expect(fired).toEqual([0]);
    one.note();
    one.cancel();
    await time.advance(5_000);
    expect(fired).toEqual([0]);
  });
});

describe('the fan-out', () => {
  function fanOut(chunk: number) {
    const time = new VirtualTime();
    const pushed: string[] = [];
    const out = new FanOut<string>({
      clock: time,
      timers: time,
      chunk,
      look: () => 0,
      push: (target) => pushed.push(target),
    });
    return { time, pushed, out };
  }
  const many = (prefix: string, count: number): string[] =>
    Array.from({ length: count }, (_, i) => `${prefix}${i}`);

  it('cuts a large push into turns', async () => {
    const { time, pushed, out } = fanOut(256);
    out.add('s', 'ns', 'config', many('a', 1_000));
    expect(pushed).toEqual([]);
    const sizes: number[] = [];
    while (out.waiting > 0) {
      await time.advance(0);
      sizes.push(pushed.length);
    }
    // Virtual time runs all that is due: what counts is that all arrive, in order and once.
    expect(pushed).toEqual(many('a', 1_000));
  });

  it('looks at all that it serves in a row before it serves the first of them', async () => {
    const time = new VirtualTime();
    const done: string[] = [];
    const out = new FanOut<string>({
      clock: time,
      timers: time,
      chunk: 2,
      look: (target) => done.push(`look at ${target}`),
      push: (target) => done.push(target),
    });
    out.add('s', 'ns', 'config', many('a', 3));
    await time.advance(0);
    expect(done).toEqual(['look at a0', 'look at a1', 'a0', 'a1', 'look at a2', 'a2']);
    expect(out.seen).toBe(1 + 2 + 5);
  });

  it('serves secrets and endpoints before configuration', async () => {
    const { time, pushed, out } = fanOut(8);
    out.add('s1', 'ns', 'config', many('c', 3));
    out.add('s2', 'ns', 'removals', many('r', 3));
    out.add('s3', 'ns', 'endpoints', many('e', 3));
    out.add('s4', 'ns', 'secrets', many('s', 3));
    await time.advance(1);
    expect(pushed).toEqual([...many('s', 3), ...many('e', 3), ...many('r', 3), ...many('c', 3)]);
  });

  it('lets a small namespace through before a large one is done', async () => {
    const { time, pushed, out } = fanOut(64);
    out.add('big', 'big', 'config', many('b', 10_000));
    out.add('small', 'small', 'config', many('s', 2));
    await time.advance(1);
    expect(pushed.indexOf('s1')).toBeLessThan(64);
    expect(pushed).toHaveLength(10_002);
  });

  it('serves a scope that gets another view while it waits once, in its more urgent lane', async () => {
    const { time, pushed, out } = fanOut(256);
    out.add('s', 'ns', 'config', many('old', 2));
    out.add('s', 'ns', 'endpoints', many('new', 2));
    out.add('t', 'ns', 'endpoints', many('t', 1));
    await time.advance(1);
    expect(pushed).toEqual(['new0', 'new1', 't0']);
  });

  it('serves every stream, however fast new views come, and those served before once more', async () => {
    const { time, pushed, out } = fanOut(8);
    const streams = many('a', 40);
    out.add('s', 'ns', 'config', streams);
    // Each turn of the loop sees a newer view.
    for (let views = 0; views < 10; views++) {
      time.soon(() => out.add('s', 'ns', 'config', streams));
      time.soon(() => undefined);
    }
    await time.advance(1);
    const times = streams.map((stream) => pushed.filter((one) => one === stream).length);
    expect(pushed.slice(0, 40)).toEqual(streams);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...times)).toBeLessThanOrEqual(2);
  });

  it('serves single streams before the rest of their scope, in turn, and none twice', async () => {
    const { time, pushed, out } = fanOut(8);
    out.add('s', 'ns', 'endpoints', many('a', 10));
    out.addSome('s', 'ns', 'endpoints', ['x', 'y']);
    out.addSome('s', 'ns', 'endpoints', ['z', 'x']);
    await time.advance(1);
    expect(pushed).toEqual(['x', 'y', 'z', ...many('a', 10)]);
  });
});

describe('the alarms', () => {
  class Stream implements Sleeper {
    alarmTick: number | undefined;
    readonly rung: number[] = [];

    ring(nowMs: number): void {
      this.rung.push(nowMs);
    }
  }

  it('ring all that wait, by one timer, a tick late at most', async () => {
    const time = new VirtualTime();
    const alarms = new Alarms(time);
    const streams = Array.from({ length: 1_000 }, () => new Stream());
    for (const [at, stream] of streams.entries()) alarms.set(stream, 5_000 + at);
    expect(time.pending).toBe(1);
    await time.advance(10_000);
    for (const [at, { rung }] of streams.entries()) {
      expect(rung).toHaveLength(1);
      expect(rung[0]).toBeGreaterThanOrEqual(5_000 + at);
      expect(rung[0]).toBeLessThanOrEqual(5_050 + at);
    }
    expect(time.pending).toBe(0);
  });

  it('ring once a tick for one that is overdue for ever', async () => {
    const time = new VirtualTime();
    const alarms = new Alarms(time);
    const stuck = new Stream();
    stuck.ring = (nowMs) => {
      stuck.rung.push(nowMs);
      alarms.set(stuck, 100);
    };
    alarms.set(stuck, 100);
    await time.advance(1_000);
    expect(stuck.rung.length).toBeLessThanOrEqual(19);
    alarms.stop();
  });

  it('ring at the earliest time that was set, and not those that were cancelled', async () => {
    const time = new VirtualTime();
    const alarms = new Alarms(time);
    const [early, never] = [new Stream(), new Stream()];
    alarms.set(early, 1_000);
    alarms.set(early, 5_000);
    alarms.set(early, 500);
    alarms.set(never, 500);
    alarms.cancel(never);
    await time.advance(10_000);
    expect([early.rung, never.rung]).toEqual([[500], []]);
  });
});
