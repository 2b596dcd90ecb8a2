import { Demand, Pusher } from '@watershed/model/gen/record.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { Placement } from '../../src/placement/placement.ts';
import { ringOf } from '../../src/placement/ring.ts';
import type { Movable } from '../../src/placement/rebalancer.ts';
import { loggerInto } from '../support/world.ts';

const namespaces = 12;

/** A proxy's stream; once ended it comes back to where the ring of its time sends it. */
class Stream implements Movable {
  readonly node: { readonly id: string; readonly namespace: string };
  readonly isResumed: boolean;
  isClosed = false;
  readonly sinceMs = time.monotonic();
  readonly #onEnd: (message: string) => void;

  constructor(index: number, isResumed: boolean, onEnd: (message: string) => void) {
    this.node = { id: `proxy-${index}`, namespace: `ns-${index % namespaces}` };
    this.isResumed = isResumed;
    this.#onEnd = onEnd;
  }

  end({ message }: { readonly message: string }): void {
    this.isClosed = true;
    this.#onEnd(message);
  }
}

class Replica {
  readonly address: string;
  readonly streams = new Set<Movable>();
  readonly placement: Placement;
  /** When each stream was ended, virtual. */
  readonly endedMs: number[] = [];
  silent = false;
  /** Its words reach nobody, and it hears none. */
  cut = false;
  /** Of proxies: who is sent here comes back to where it was. */
  isReached = true;
  moved = 0;

  constructor(address: string, rebalancePerSecond = 5) {
    this.address = address;
    this.placement = new Placement({
      name: `pusher at ${address}`,
      address: () => address,
      time,
      logger: loggerInto([]),
      streams: () => this.streams,
      scopes: () => 1,
      tell: (pusher) => {
        if (this.cut) return;
        const bytes = pusher && Pusher.encode(pusher).finish();
        time.soon(() => {
          for (const { placement, cut } of replicas) {
            if (!cut) placement.heard(`pusher at ${address}`, bytes && Pusher.decode(bytes));
          }
        });
      },
      silent: () => this.silent,
      rebalancePerSecond,
      rebalanceDelayMs: 30_000,
      onMoved: () => this.moved++,
    });
  }

  open(index: number, isResumed = false): void {
    const stream = new Stream(index, isResumed, (message) => {
      this.streams.delete(stream);
      this.endedMs.push(time.monotonic());
      cuts.set(index, (cuts.get(index) ?? 0) + 1);
      const to = replicas.find(({ address }) => message.includes(address));
      (to?.isReached === true ? to : this).open(index, true);
    });
    this.streams.add(stream);
  }
}

let time: VirtualTime;
let replicas: Replica[];
/** How often each proxy was moved. */
let cuts: Map<number, number>;

beforeEach(() => {
  time = new VirtualTime();
  replicas = [];
  cuts = new Map();
});

function add(host: string, streams = 0, rate?: number): Replica {
  const replica = new Replica(`${host}:15010`, rate);
  const first = replicas.reduce((sum, { streams: { size } }) => sum + size, 0);
  replicas.push(replica);
  for (let at = 0; at < streams; at++) replica.open(first + at);
  replica.placement.start();
  return replica;
}

function sizes(): readonly number[] {
  return replicas.map(({ streams: { size } }) => size);
}

function moved(): number {
  return replicas.reduce((sum, replica) => sum + replica.moved, 0);
}

describe('a pusher that comes', () => {
  it('gets its share of the streams slowly, and no proxy is cut twice', async () => {
    add('a', 300);
    add('b', 300);
    await time.advance(60_000);
    expect(moved()).toBe(0);
    add('c');
    await time.advance(20_000);
    expect(sizes()).toEqual([300, 300, 0]);
    for (let second = 0; second < 30; second++) {
      const before = moved();
      await time.advance(1_000);
      // Two replicas, five a second each; delays are 0.5 to 1.5 of the mean.
      expect(moved() - before).toBeLessThanOrEqual(2 * 11);
    }
    await time.advance(300_000);
    const mean = 200;
    expect(Math.max(...sizes())).toBeLessThanOrEqual(mean + 1);
    expect(moved()).toBeLessThanOrEqual(1.02 * mean);
    expect([...cuts.values()].every((count) => count === 1)).toBe(true);
    const settled = moved();
    await time.advance(3_600_000);
    expect(moved()).toBe(settled);
  });

  it('gets its share of many that each have little too much', async () => {
    for (let at = 0; at < 5; at++) add(`a${at}`, 120);
    await time.advance(60_000);
    expect(moved()).toBe(0);
    const late = add('z');
    await time.advance(120_000);
    const mean = 100;
    expect(late.streams.size).toBeGreaterThan(0.9 * mean);
    expect(Math.max(...sizes())).toBeLessThanOrEqual(1.05 * mean);
    expect([...cuts.values()].every((count) => count === 1)).toBe(true);
    const settled = moved();
    expect(settled).toBeLessThanOrEqual(1.02 * mean);
    await time.advance(900_000);
    expect(moved()).toBe(settled);
  });

  it('gets the proxies whose place it is before all others', async () => {
    add('a', 200);
    add('b', 200);
    await time.advance(60_000);
    const c = add('c');
    await time.advance(40_000);
    const { first } = ringOf(replicas.map(({ address }) => address));
    const came = [...c.streams].map(({ node }) => first(node?.namespace ?? ''));
    expect(came.length).toBeGreaterThan(30);
    expect(new Set(came)).toEqual(new Set([c.address]));
  });

  it('gets nothing where it is said that none are moved', async () => {
    add('a', 300, 0);
    add('b', 0, 0);
    await time.advance(600_000);
    expect(sizes()).toEqual([300, 0]);
  });
});

describe('no stream is moved', () => {
  it('for a difference that is not worth it', async () => {
    add('a', 120);
    add('b', 80);
    add('c', 100);
    await time.advance(600_000);
    expect(moved()).toBe(0);
  });

  it('for a difference that does not last', async () => {
    const [a, b] = [add('a'), add('b')];
    await time.advance(600_000);
    for (let at = 0; at < 300; at++) a.open(at);
    await time.advance(20_000);
    for (let at = 300; at < 600; at++) b.open(at);
    await time.advance(600_000);
    expect(moved()).toBe(0);
  });

  it('because of what another said of itself before it got streams too', async () => {
    const [a, b] = [add('a'), add('b')];
    await time.advance(600_000);
    for (let at = 0; at < 600; at++) (at % 2 === 0 ? a : b).open(at);
    await time.advance(1_500);
    expect(a.placement.state()).toMatchObject({ pushers: [{ streams: 300 }, { streams: 300 }] });
    await time.advance(600_000);
    expect(moved()).toBe(0);
  });

  it('while the log is not heard of', async () => {
    add('a', 300).silent = true;
    add('b');
    await time.advance(600_000);
    expect(moved()).toBe(0);
    expect(replicas[0]?.placement.state()).toMatchObject({
      rebalancing: { off: 'the log is not heard of', active: false },
    });
  });

  it('while a member is silent, nor for a while after it is gone', async () => {
    const a = add('a', 300);
    const b = add('b');
    const c = add('c', 300);
    await time.advance(35_000);
    const before = moved();
    expect(before).toBeGreaterThan(0);
    c.cut = true;
    await time.advance(26_000);
    const then = a.moved;
    await time.advance(30_000);
    expect(a.moved).toBe(then);
    expect(b.streams.size).toBeGreaterThan(0);
  });

  it('by a pusher that does not hear itself', async () => {
    const a = add('a', 300);
    add('b');
    a.cut = true;
    await time.advance(600_000);
    expect(a.moved).toBe(0);
  });

  it('while two pushers say that they have one address', async () => {
    const a = add('a', 300);
    add('b');
    await time.advance(15_000);
    a.placement.heard('another', {
      address: 'b:15010',
      streams: 0,
      scopes: 0,
      readsInlined: true,
      expiresMs: time.now() + 3_600_000,
    });
    await time.advance(25_000);
    expect(a.placement.state()).toMatchObject({
      rebalancing: { off: 'two pushers say that they are b:15010' },
    });
    expect(a.moved).toBe(0);
  });

  it('that came back lately, wherever it was', async () => {
    const a = add('a');
    for (let at = 0; at < 300; at++) a.open(at, true);
    add('b');
    await time.advance(590_000);
    expect(moved()).toBe(0);
    await time.advance(60_000);
    expect(moved()).toBeGreaterThan(0);
  });
});

describe('a pusher that proxies do not reach, though the log does', () => {
  it('is sent few, then none for a while, and gets its share once it is reached', async () => {
    add('a', 3_000);
    const b = add('b');
    b.isReached = false;
    await time.advance(3_600_000);
    // Five a second for half a minute, each time that it is tried.
    expect(moved()).toBeGreaterThan(0);
    expect(moved()).toBeLessThan(6 * 2 * 5 * 30);
    b.isReached = true;
    await time.advance(3_600_000);
    expect(b.streams.size).toBeGreaterThan(0.9 * 1_500);
  });

  it('keeps nothing from the others', async () => {
    add('a', 600);
    add('b').isReached = false;
    const c = add('c');
    await time.advance(600_000);
    expect(c.streams.size).toBeGreaterThan(250);
  });
});

describe('a namespace', () => {
  it('has one owner, the same at all pushers, until who wants it is silent', async () => {
    add('a');
    add('b');
    await time.advance(1_000);
    for (const { placement } of replicas) {
      for (let at = 0; at < namespaces; at++) placement.wanted(`d|x|${at}`, demandOf(at));
    }
    for (let at = 0; at < namespaces; at++) {
      const owners = replicas.filter(({ placement }) => placement.isOwner(`ns-${at}`));
      expect(owners.length).toBe(1);
    }
    await time.advance(100_000);
    expect(replicas.some(({ placement }) => placement.isOwner('ns-1'))).toBe(false);
  });

  it('goes to who is left when a pusher leaves', async () => {
    add('a');
    const b = add('b');
    await time.advance(1_000);
    for (const { placement } of replicas) {
      for (let at = 0; at < namespaces; at++) placement.wanted(`d|x|${at}`, demandOf(at));
    }
    b.placement.stop();
    await time.advance(1);
    expect(replicas[0]?.placement.state()).toMatchObject({
      pushers: [{ address: 'a:15010' }],
      namespaces: { 'ns-0': 'a:15010', 'ns-11': 'a:15010' },
    });
  });
});

function demandOf(index: number): Demand {
  const scopeClass = { namespace: `ns-${index}` };
  return Demand.fromPartial({ scope: `${index}`, scopeClass, expiresMs: time.now() + 60_000 });
}
