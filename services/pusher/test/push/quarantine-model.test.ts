import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Proxy, type Traits } from './quarantine/proxy.ts';
import { Rules, type Content } from './quarantine/rules.ts';
import { QuarantineWorld, type Link } from './quarantine/world.ts';

const pushers = ['one', 'two', 'three'] as const;

const versions = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom('1', '2') },
  { weight: 2, arbitrary: fc.constantFrom('bad1', 'bad2') },
);
const contents: fc.Arbitrary<Content> = fc.record(
  { x: versions, y: versions, z: versions },
  { requiredKeys: ['x', 'y'], noNullPrototype: true },
);

const mostly = <T>(value: T, other: T, weight = 5): fc.Arbitrary<T> =>
  fc.oneof({ weight, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: fc.constant(other) });
const casts: fc.Arbitrary<readonly Traits[]> = fc.array(
  fc.record<Traits>({
    namespace: mostly('shop', 'bank'),
    version: mostly('1.40.0', '1.36.0'),
    verified: mostly(true, false),
    mode: fc.constantFrom('delta', 'sotw'),
    names: mostly(true, false),
  }),
  { minLength: 4, maxLength: 8 },
);

type PusherStep =
  | { readonly kind: 'start' | 'stop' | 'kill'; readonly pusher: number }
  | { readonly kind: 'link'; readonly pusher: number; readonly link: Link };
type ProxyStep =
  | { readonly kind: 'connect'; readonly proxy: number; readonly pusher: number }
  | { readonly kind: 'leave' | 'hold' | 'answer' | 'change'; readonly proxy: number };
type Step =
  | PusherStep
  | ProxyStep
  | { readonly kind: 'publish'; readonly content: Content; readonly waits: boolean }
  | { readonly kind: 'compact' }
  | { readonly kind: 'wait'; readonly ms: number };

const proxy = fc.nat(7);
const pusher = fc.nat(2);
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      content: contents,
      waits: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('connect' as const), proxy, pusher }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'leave' as const,
        'hold' as const,
        'answer' as const,
        'change' as const,
      ),
      proxy,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('start' as const, 'start' as const, 'stop' as const, 'kill' as const),
      pusher,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('link' as const),
      pusher,
      link: fc.constantFrom<Link>(
        'taken',
        'slow',
        'down',
        'refused',
        'lost',
        'late',
        'twice',
        'part',
      ),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'compact' }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.constantFrom(1, 3, 50, 1_000, 6_000, 40_000, 400_000),
    }),
  },
);

class Play {
  readonly world = new QuarantineWorld();
  readonly proxies: readonly Proxy[];
  readonly rules: Rules;
  #next = 0;

  constructor(cast: readonly Traits[]) {
    const { time, network } = this.world;
    this.proxies = cast.map(
      (traits, at) =>
        new Proxy({
          ...{ id: `web-${at}`, traits, time, network },
          elsewhere: () => this.#serving(this.#next++),
          onSent: (...sent) => this.rules.sent(...sent),
          onRefused: (...refused) => this.rules.refuses(...refused),
        }),
    );
    this.rules = new Rules(this.world, this.proxies);
  }

  /** The pusher of that number, or the next that serves. */
  #serving(at: number): string {
    const { serving } = this.world;
    const name = pushers[at];
    if (name !== undefined && serving.includes(name)) return name;
    return serving[at % Math.max(1, serving.length)] ?? 'one';
  }

  async begin(): Promise<void> {
    const { world } = this;
    await world.begin();
    await this.#publish({ x: '0', y: '0', z: '0' });
    this.rules.seen();
    for (const name of pushers.slice(0, 2)) await world.start(name);
    for (const [at, one] of this.proxies.entries()) one.connect(this.#serving(at % 2));
    await world.time.advance(1_000);
  }

  async step(step: Step): Promise<void> {
    const { world, rules } = this;
    if ('proxy' in step) {
      const proxy = this.proxies[step.proxy];
      if (proxy !== undefined) this.#proxyStep(step, proxy);
    } else if ('pusher' in step) await this.#pusherStep(step, pushers[step.pusher] ?? '');
    else if (step.kind === 'compact') world.compact();
    else if (step.kind === 'wait') await world.time.advance(step.ms);
    else {
      await this.#publish(step.content);
      if (!step.waits) return;
      await world.time.advance(7_000);
      rules.seen();
    }
  }

  #proxyStep(step: ProxyStep, proxy: Proxy): void {
    switch (step.kind) {
      case 'connect':
        proxy.connect(this.#serving(step.pusher));
        break;
      case 'leave':
        proxy.leave();
        break;
      case 'hold':
        proxy.hold();
        break;
      case 'answer':
        proxy.answer();
        break;
      case 'change':
        proxy.refuses = !proxy.refuses;
    }
  }

  async #pusherStep(step: PusherStep, name: string): Promise<void> {
    const { world } = this;
    if (step.kind === 'start') return world.start(name);
    const process = world.process(name);
    if (process === undefined) return;
    if (step.kind === 'link') process.link = step.link;
    else if (step.kind === 'kill') process.life.end();
    else {
      const stopped = process.stop();
      await world.time.advance(5_000);
      await stopped;
    }
  }

  /** Nothing fails any more; all are there, and time passes until what is gone is forgotten. */
  async rest(): Promise<void> {
    const { world, proxies, rules } = this;
    if (world.serving.length === 0) await world.start('one');
    for (const process of world.processes) process.link = 'taken';
    for (const [at, one] of proxies.entries()) {
      one.answer();
      if (one.at === '') one.connect(this.#serving(at % 3));
    }
    await world.time.advance(130_000);
    rules.rested();
    const quiet = this.#seen;
    await world.time.advance(60_000);
    if (this.#seen !== quiet) rules.problems.push(`${quiet} became ${this.#seen}`);
  }

  async mend(): Promise<void> {
    const { world, rules } = this;
    await this.#publish({ x: '9', y: '9' });
    await world.time.advance(10_000);
    rules.seen();
    rules.rested();
    for (const name of world.serving) {
      const verdicts = [...(world.process(name)?.verdicts ?? [])];
      if (verdicts.length > 0) rules.problems.push(`${name} still keeps ${verdicts.join()}`);
    }
  }

  /** One version is in quarantine, as these say. */
  stands(...names: readonly string[]): boolean {
    return names.every((name) => this.world.process(name)?.verdicts.size === 1);
  }

  end(): void {
    for (const one of this.proxies) one.leave();
    for (const { life } of this.world.processes) life.end();
  }

  async #publish(content: Content): Promise<void> {
    this.rules.published(content);
    await this.world.publish(content);
  }

  /** What was told, and sent to proxies. */
  get #seen(): string {
    const said = JSON.stringify(this.world.told);
    return `${said} ${this.proxies.map(({ received }) => received).join()}`;
  }
}

/** `MODEL_RUNS=5000` looks for what is rare. */
const more = process.env['MODEL_RUNS'];
const runs =
  more === undefined
    ? { numRuns: 40, interruptAfterTimeLimit: 10_000 }
    : { numRuns: Number(more), interruptAfterTimeLimit: 3_000_000 };

it('what proxies refuse is kept from their kind as decision 4 says, whatever happens', async () => {
  await fc.assert(
    fc.asyncProperty(casts, fc.array(steps, { maxLength: 40 }), async (cast, script) => {
      const play = new Play(cast);
      try {
        await play.begin();
        for (const step of script) await play.step(step);
        await play.rest();
        await play.mend();
        expect(play.rules.problems).toEqual([]);
      } finally {
        play.end();
      }
    }),
    runs,
  );
});

/** Four proxies of one kind, all at the first of two pushers. */
async function begun(): Promise<Play> {
  const traits = { namespace: 'shop', version: '1.40.0', verified: true, names: true } as const;
  const play = new Play(
    (['delta', 'sotw', 'delta', 'sotw'] as const).map((mode) => ({ ...traits, mode })),
  );
  await play.begin();
  for (const one of play.proxies) one.connect('one');
  await play.step({ kind: 'wait', ms: 1_000 });
  await play.step({ kind: 'publish', content: { x: 'bad1', y: '1' }, waits: true });
  expect(play.stands('one', 'two')).toBe(true);
  return play;
}

it('of a killed pusher a quarantine lapses, its proxies are sent the version once, and make it anew', async () => {
  const play = await begun();
  const { world, proxies } = play;
  const received = (): readonly number[] => proxies.map((one) => one.received);
  try {
    await play.step({ kind: 'kill', pusher: 0 });
    await play.step({ kind: 'wait', ms: 45_000 });
    expect(play.stands('two')).toBe(true);
    expect(proxies.map(({ at, refused }) => `${at} ${refused.size}`)).toEqual(
      proxies.map(() => 'two 0'),
    );
    const before = received();
    await play.step({ kind: 'wait', ms: 45_000 });
    expect(play.stands('two')).toBe(true);
    expect(world.told.map(([pusher, , ids]) => [pusher, ids.length])).toEqual([['two', 3]]);
    const after = received();
    expect(after).toEqual(before.map((count) => count + 1));
    await play.step({ kind: 'wait', ms: 1_800_000 });
    expect(received()).toEqual(after);
    expect(play.stands('two')).toBe(true);
    expect(play.rules.problems).toEqual([]);
  } finally {
    play.end();
  }
});

it('a pusher that its proxies have left leaves the quarantine to where they are', async () => {
  const play = await begun();
  try {
    for (const one of play.proxies) one.connect('two');
    await play.step({ kind: 'wait', ms: 200_000 });
    const tellers = (): readonly string[] => play.world.told.map(([pusher]) => pusher);
    expect(tellers()).toEqual(['one']);
    // It keeps the scope for an hour, if that is where it belongs.
    await play.step({ kind: 'wait', ms: 3_600_000 });
    expect(tellers()).toEqual(['two']);
    expect(play.stands('one', 'two')).toBe(true);
    expect(play.rules.problems).toEqual([]);
  } finally {
    play.end();
  }
});
