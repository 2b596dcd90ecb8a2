/** From append to ACK: one at a time beside bare records, and in a flood. */
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { spread } from '../statistics.ts';
import type { Bare } from './bare.ts';
import type { Clients } from './clients.ts';
import { quantile, type Report, type Source, type Target } from './messages.ts';
import type { Usage } from './usage.ts';

export interface Bench<T extends Target> {
  readonly clients: Clients;
  readonly source: Source<T>;
}

/** Records of the bench's own: produced and consumed, and the same by way of a relay. */
export interface BareRecords {
  readonly one: Bare;
  readonly two: Bare;
}

/** Milliseconds, ascending. */
export interface Round {
  readonly bare: readonly number[];
  /** Two bare records, one behind the other. */
  readonly two: readonly number[];
  readonly whole: readonly number[];
}

/** Slow enough that nothing waits for another. */
const pairsPerSecond = 20;
const warmPairs = 10_000;
const settleMs = 120_000;
/** Of a flood: appends that are on their way at once. */
const maxInFlight = 8;
const ticksPerSecond = 50;

/** Until every stream has what was written last of its assignment. */
export async function settled<T extends Target>({ clients, source }: Bench<T>): Promise<Report> {
  const deadline = performance.now() + settleMs;
  for (;;) {
    const report = await clients.send({ kind: 'report' });
    const late = source.targets.filter(({ name, stamp }) => {
      return stamp > 0 && (report.reached[name] ?? stamp) < stamp;
    });
    if (late.length === 0) return report;
    if (performance.now() > deadline) throw new Error(`${late.length} assignments are not there`);
    await sleep(250);
  }
}

export async function latency<T extends Target>(
  bench: Bench<T>,
  bare: BareRecords,
  seconds: number,
): Promise<Round> {
  await bench.clients.send({ kind: 'mark' });
  bare.one.mark();
  bare.two.mark();
  for (let at = 0; at < seconds * pairsPerSecond; at++) {
    await pair(bench, bare, at);
    await sleep(1_000 / pairsPerSecond);
  }
  const { latencies: whole } = await settled(bench);
  return { bare: bare.one.latencies(), two: bare.two.latencies(), whole };
}

/**
 * What a set that has run for a while has behind it: its code is compiled, and Kafka has touched
 * the indexes of all partitions (the first entry of each costs it 6 ms).
 */
export async function warmUp<T extends Target>(bench: Bench<T>, bare: BareRecords): Promise<void> {
  for (let at = 0; at < warmPairs; at++) await pair(bench, bare, at);
  await settled(bench);
}

async function pair<T extends Target>(
  { source }: Bench<T>,
  bare: BareRecords,
  at: number,
): Promise<void> {
  const target = source.targets[at % source.targets.length];
  if (target === undefined) throw new Error('nothing to change');
  await bare.one.roundTrip();
  await bare.two.roundTrip();
  await source.write([target]);
}

/**
 * Of all that the rounds measured, and the quotients of each round: a p99 of 400 goes by four
 * values, and who else used the processors just then decides about those.
 */
export function roundsText(rounds: readonly Round[]): string {
  const of = (share: number): string => {
    const all = (part: keyof Round): number =>
      quantile(ascending(rounds.flatMap((round) => round[part])), share);
    const times = (part: keyof Round): string => {
      const each = rounds.map(
        (round) => quantile(round[part], share) / quantile(round.bare, share),
      );
      const byRound = rounds.length > 1 ? `, by round ${spread(each)}` : '';
      return `${all(part).toFixed(1)} ms (${(all(part) / all('bare')).toFixed(2)}x${byRound})`;
    };
    const bare = `p${share * 100} bare ${all('bare').toFixed(1)} ms`;
    return `${bare}, two of them ${times('two')}, append to ACK ${times('whole')}`;
  };
  return `${of(0.5)}; ${of(0.99)}`;
}

function ascending(numbers: readonly number[]): readonly number[] {
  return numbers.toSorted((a, b) => a - b);
}

export async function flood<T extends Target>(
  bench: Bench<T>,
  usage: Usage,
  wanted: number,
  seconds: number,
): Promise<string> {
  const { clients, source } = bench;
  await clients.send({ kind: 'mark' });
  await usage.begin();
  const sinceMs = performance.now();
  const written = await writeAll(source, wanted, seconds);
  const endMs = performance.now();
  const rate = written / ((endMs - sinceMs) / 1_000);
  const text = await usage.text();
  const { acked, latencies } = await settled(bench);
  const lateMs = Math.round(performance.now() - endMs);
  const [p50, p99] = [quantile(latencies, 0.5), quantile(latencies, 0.99)];
  return [
    `${rate.toFixed(0)} updates/s (${wanted} wanted): ${acked} ACKs`,
    `p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)} ms, nothing lost, all there after ${lateMs} ms`,
    `${text}; load ${loadavg()[0]?.toFixed(1)}`,
  ].join('; ');
}

/** Gives how many updates it were. */
async function writeAll<T extends Target>(
  source: Source<T>,
  rate: number,
  seconds: number,
): Promise<number> {
  const perTick = Math.max(1, Math.round(rate / ticksPerSecond));
  const sinceMs = performance.now();
  const inFlight = new Set<Promise<void>>();
  let written = 0;
  while (performance.now() - sinceMs < seconds * 1_000) {
    const some = nextOf(source.targets, written, perTick);
    const write = source.write(some).finally(() => inFlight.delete(write));
    inFlight.add(write);
    written += some.length;
    if (inFlight.size >= maxInFlight) await Promise.race(inFlight);
    const aheadMs = sinceMs + (written / rate) * 1_000 - performance.now();
    if (aheadMs > 0) await sleep(aheadMs);
  }
  await Promise.all(inFlight);
  return written;
}

function nextOf<T>(targets: readonly T[], from: number, count: number): readonly T[] {
  const at = from % targets.length;
  return targets.slice(at, at + count);
}
