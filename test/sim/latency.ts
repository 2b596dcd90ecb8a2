/**
 * `node test/sim/latency.ts`: how long a configuration change takes from the log to a client, in
 * virtual time, under steady churn, with 1 to 8 shards. Passes cost what the log and the blob store
 * take to answer: more than lies between two changes, and not the same for each shard.
 */
import { resourceTypes } from '@watershed/proto/any.ts';
import { Catalog } from './catalog.ts';
import { Faults } from './faults.ts';
import { Random } from './random.ts';
import { generationsOf } from './resources.ts';
import { World } from './world.ts';

/** Of the edits that reach `config`: between two of them, in ms. */
const everyMs = [50, 20];
const shards = [1, 2, 4, 8];
/** Longer than a shard waits before it takes a contested partition again. */
const warmMs = 15_000;
const measuredMs = 60_000;

/** Nothing fails; log and blobs take their time. */
class SlowParts extends Faults {
  readonly #draws: Random;

  constructor(random: Random) {
    super(random, false);
    this.#draws = random.fork();
  }

  override log(name: string): ReturnType<Faults['log']> {
    return {
      ...super.log(name),
      latencyMs: () => (name.startsWith('ingester') ? 1 : this.#draws.spread(10, 150)),
      maxRecords: () => 1_000,
    };
  }

  override blobs(name: string): ReturnType<Faults['blobs']> {
    return { ...super.blobs(name), latencyMs: () => this.#draws.spread(5, 80) };
  }
}

/** The measured client is one of red's. */
function sees(host: string): boolean {
  return host.includes('.red.') || host.startsWith('public');
}

async function measure(translators: number, periodMs: number): Promise<readonly number[]> {
  const random = new Random(1);
  const catalog = new Catalog();
  /** What changed, and when, until the client has it. */
  const waiting = new Map<string, { readonly generation: number; readonly atMs: number }[]>();
  const latencies: number[] = [];
  const world = new World({
    random: random.fork(),
    catalog,
    faults: new SlowParts(random.fork()),
    isPatient: true,
    trace: () => undefined,
    translators,
    applied: ({ options }, typeUrl, changes) => {
      if (options.name !== 'delta-red' || typeUrl !== resourceTypes.cluster) return;
      for (const { resource } of changes) {
        if (resource === undefined) continue;
        for (const [what, generation] of generationsOf(typeUrl, resource.bytes)) {
          const all = waiting.get(what) ?? [];
          const done = all.filter((one) => one.generation <= generation);
          for (const { atMs } of done) latencies.push(world.time.monotonic() - atMs);
          waiting.set(
            what,
            all.filter((one) => one.generation > generation),
          );
        }
      }
    },
  });
  world.start();
  catalog.createAll();
  await world.advance(warmMs);
  for (let passedMs = 0; passedMs < measuredMs; passedMs += periodMs) {
    const { host, generation } = catalog.changePolicy(random);
    const what = `outbound|80||${host}`;
    if (!sees(host)) {
      await world.advance(periodMs);
      continue;
    }
    const one = { generation, atMs: world.time.monotonic() };
    waiting.set(what, [...(waiting.get(what) ?? []), one]);
    await world.advance(periodMs);
  }
  // What has not come yet has waited that long at least.
  for (const all of waiting.values()) {
    for (const { atMs } of all) latencies.push(world.time.monotonic() - atMs);
  }
  for (const { life } of world.processes) life.end();
  return latencies.toSorted((a, b) => a - b);
}

for (const periodMs of everyMs) {
  for (const translators of shards) {
    const all = await measure(translators, periodMs);
    const at = (share: number): string =>
      (all[Math.min(all.length - 1, Math.floor(all.length * share))] ?? 0).toFixed(0);
    process.stdout.write(
      `a change every ${periodMs} ms, ${translators} shards: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ` +
        `most ${at(1)} ms, of ${all.length}\n`,
    );
  }
}
