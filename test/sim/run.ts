/** One run: edits and faults by the seed, then calm, in which all must come to what it should be. */
import { createHash } from 'node:crypto';
import { Catalog } from './catalog.ts';
import { Faults } from './faults.ts';
import type { StoreCopy } from './log/store.ts';
import { Violation } from './oracle.ts';
import { Random } from './random.ts';
import { World, type Process } from './world.ts';

export interface RunOptions {
  readonly seed: number;
  /** Of edits and faults. */
  readonly steps: number;
  /** Names of processes of the previous schema. Default: by the seed; mostly none are. */
  readonly previous?: readonly string[];
  /** Told of all that happens. */
  readonly trace?: (line: string) => void;
}

export interface RunResult {
  /** Of all that happened, in order. */
  readonly digest: string;
  readonly lines: number;
  readonly virtualMs: number;
  readonly hits: ReadonlyMap<string, number>;
  /** What did not hold; `undefined`: all did. */
  readonly failure: string | undefined;
}

/** Steps between two times of calm. */
const episode = 40;
const settleMs = 180_000;
/** Which may be of the previous schema: those that read what a later one may have written. */
const upgraded = ['translator-0', 'translator-1', 'translator-2', 'pusher-0', 'pusher-1'];

export async function run(options: RunOptions): Promise<RunResult> {
  const simulation = new Simulation(options);
  let failure: string | undefined;
  try {
    await simulation.run(options.steps);
  } catch (error) {
    failure = error instanceof Violation ? error.message : describe(error);
  }
  return { ...simulation.result(), failure };
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

class Simulation {
  readonly #random: Random;
  readonly #catalog = new Catalog();
  readonly #faults: Faults;
  readonly #world: World;
  readonly #digest = createHash('sha256');
  #lines = 0;
  #copy: StoreCopy | undefined;

  constructor({ seed, trace, previous }: RunOptions) {
    this.#random = new Random(seed);
    this.#faults = new Faults(this.#random.fork(), true);
    const names = previous ?? this.#someOf(upgraded);
    for (const name of names) this.#faults.hit(`${name} is of the previous schema`);
    this.#world = new World({
      random: this.#random.fork(),
      catalog: this.#catalog,
      faults: this.#faults,
      previous: names,
      isPatient: this.#random.chance(0.5),
      trace: (line) => {
        this.#lines++;
        this.#digest.update(`${line}\n`);
        trace?.(line);
      },
    });
  }

  #someOf(names: readonly string[]): readonly string[] {
    return this.#random.chance(0.3) ? names.filter(() => this.#random.chance(0.5)) : [];
  }

  result(): Omit<RunResult, 'failure'> {
    const { time } = this.#world;
    const { hits } = this.#faults;
    return {
      digest: this.#digest.digest('hex').slice(0, 32),
      lines: this.#lines,
      virtualMs: time.monotonic(),
      hits,
    };
  }

  async run(steps: number): Promise<void> {
    this.#world.start();
    for (let done = 0; done < steps;) {
      this.#faults.set(true);
      for (let of = 0; of < episode && done < steps; of++, done++) {
        this.#step();
        await this.#world.advance(this.#random.spread(5, 3_000));
      }
      await this.#calm();
    }
  }

  #step(): void {
    if (this.#random.chance(0.6)) {
      this.#world.trace(`edit: ${this.#catalog.edit(this.#random)}`);
      return;
    }
    const weighed = deeds.flatMap(([weight, name, deed]) =>
      Array.from({ length: weight }, () => [name, deed] as const),
    );
    const [name, deed] = this.#random.pick(weighed);
    this.#world.trace(`fault: ${name}`);
    this.#faults.hit(name);
    deed(this);
  }

  /** Faults stop: every client must come to what a world without faults would have given it. */
  async #calm(): Promise<void> {
    const world = this.#world;
    this.#faults.set(false);
    this.#catalog.mend();
    world.group.rebalance(() => 0);
    world.trace('calm');
    const expected = await this.#expected();
    let wrong: string | undefined;
    for (let waitedMs = 0; waitedMs < settleMs; waitedMs += 1_000) {
      await world.advance(1_000);
      wrong = this.#wrong(expected);
      // What is late must change nothing either.
      if (wrong === undefined && waitedMs >= 15_000) break;
    }
    if (wrong !== undefined) throw new Violation(`after ${settleMs} ms of calm ${wrong}`);
    world.oracle.settled();
    this.#catalog.settled();
  }

  async #expected(): Promise<readonly string[]> {
    const world = new World({
      random: new Random(1),
      catalog: this.#catalog,
      isPatient: true,
      trace: () => undefined,
    });
    world.start();
    await world.advance(15_000);
    for (const { life } of world.processes) life.end();
    return world.clients.map((client) => world.stateOf(client));
  }

  #wrong(expected: readonly string[]): string | undefined {
    for (const [at, client] of this.#world.clients.entries()) {
      const wanted = (expected[at] ?? '').split('\n');
      const held = this.#world.stateOf(client).split('\n');
      const lacks = wanted.filter((line) => !held.includes(line));
      const has = held.filter((line) => !wanted.includes(line));
      if (lacks.length + has.length === 0) continue;
      return `${client.options.name} lacks ${brief(lacks)}; has ${brief(has)}`;
    }
    return undefined;
  }

  process(tier?: Process['tier']): Process {
    const all = this.#world.processes.filter((one) => tier === undefined || one.tier === tier);
    return this.#random.pick(all);
  }

  get world(): World {
    return this.#world;
  }

  get faults(): Faults {
    return this.#faults;
  }

  get random(): Random {
    return this.#random;
  }

  get catalog(): Catalog {
    return this.#catalog;
  }

  keepCopy(): void {
    this.#copy = this.#world.store.copy();
  }

  putBack(): void {
    if (this.#copy === undefined) return;
    this.#faults.hit('an old copy of the log is restored');
    this.#world.store.restore(this.#copy, this.#random.chance(0.5));
    this.#world.oracle.wentBack(this.#world.store.partitions());
  }
}

function brief(lines: readonly string[]): string {
  return lines.map((line) => line.replace(/^\S*\./u, '').slice(0, -32)).join(', ');
}

type Deed = (simulation: Simulation) => void;

/** For a while. */
function cutOffFrom(what: 'log' | 'blobs'): Deed {
  return (sim) => {
    const { name } = sim.process();
    sim.faults.cutOff(what, name, true);
    sim.world.time.after(sim.random.spread(100, 15_000), () =>
      sim.faults.cutOff(what, name, false),
    );
  };
}

/** What may happen in a step, and how often beside the others. */
const deeds: readonly (readonly [weight: number, name: string, deed: Deed])[] = [
  [4, 'a process crashes', (sim) => sim.world.crash(sim.process(), 'it crashes')],
  [2, 'a process is stopped', (sim) => sim.world.stop(sim.process())],
  [2, 'a process cannot reach the log', cutOffFrom('log')],
  [
    1,
    'the log is down',
    (sim) => {
      sim.faults.setLogDown(true);
      sim.world.time.after(sim.random.spread(100, 10_000), () => sim.faults.setLogDown(false));
    },
  ],
  [2, 'a process cannot reach the blobs', cutOffFrom('blobs')],
  [
    2,
    'blobs are lost',
    (sim) => {
      const share = sim.random.pick([0.1, 0.5, 1]);
      sim.world.blobs.lose(() => sim.random.chance(share));
    },
  ],
  [
    4,
    'the log is compacted',
    (sim) => {
      for (const partition of sim.world.store.partitions()) {
        partition.compact(sim.random.below(partition.next + 1), sim.world.time.now());
      }
    },
  ],
  [1, 'a copy of the log is kept', (sim) => sim.keepCopy()],
  [1, 'the log goes back', (sim) => sim.putBack()],
  [3, 'partitions change hands', (sim) => sim.world.group.rebalance((n) => sim.random.below(n))],
  [
    2,
    'two own a partition',
    (sim) => {
      const { members } = sim.world.group;
      if (members.length > 0) sim.world.group.usurp(sim.random.below(4), sim.random.pick(members));
    },
  ],
  [2, 'a clock is wrong', (sim) => sim.process().life.setClock((sim.random.next() - 0.5) * 20_000)],
  [3, 'a stream breaks', (sim) => sim.random.pick(sim.world.clients).reconnect()],
  [2, 'a source says it again', (sim) => sim.catalog.repeat(sim.random)],
  [
    3,
    'a file cannot be read',
    (sim) => {
      sim.catalog.spoil(sim.random);
      sim.world.time.after(sim.random.spread(100, 60_000), () => sim.catalog.mend());
    },
  ],
];
