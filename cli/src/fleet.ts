/** What several pushers say, each of its own streams, as one. */
import type { Timers } from '@watershed/runtime/clock.ts';
import { fieldsOf, getJson, listOf, textOf, type MonitoringOptions } from './monitoring.ts';

export interface Pusher {
  /** Unique among pushers. */
  readonly name: string;
  /** Of `/debug/syncz`: an entry for each stream. */
  readonly streams: readonly unknown[];
  /** How long it has not heard of the log; empty: it has. */
  readonly silence: string;
}

export interface Fleet {
  readonly pushers: readonly Pusher[];
  /** Who did not answer, and why. */
  readonly failures: readonly string[];
  /** Whom those that answered know, and who did not answer, if anybody asked. */
  readonly unheard: readonly string[];
}

/** Who is waited for is nobody's business before. */
const quietMs = 1_000;

/** @param onSlow told once of those that have not answered yet, if that takes long */
export async function askFleet(
  each: readonly MonitoringOptions[],
  timers: Timers,
  onSlow: (addresses: readonly string[]) => void,
): Promise<Fleet> {
  const awaited = new Set(each.map(({ address }) => address));
  const slow = timers.after(quietMs, () => onSlow([...awaited]));
  const asked = each.map((one) => ask(one).finally(() => awaited.delete(one.address)));
  const answers = await Promise.allSettled(asked);
  slow.cancel();
  const known = answers.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failures = answers.flatMap((one) =>
    one.status === 'rejected' ? [messageOf(one.reason)] : [],
  );
  // Addresses may be two ways to one pusher.
  const pushers = new Map(known.map(({ pusher }) => [pusher.name, pusher]));
  const heard = new Set(known.map(({ address }) => address));
  const others = new Map(
    known
      .flatMap(({ members }) => members.map(fieldsOf))
      // Not by name: who was started again at its address is known by both for a while.
      .filter(({ address }) => !heard.has(textOf(address)))
      .map((member) => [textOf(member['name']), member]),
  );
  return { pushers: [...pushers.values()], failures, unheard: [...others.values()].map(describe) };
}

async function ask(options: MonitoringOptions) {
  const [streams, scopes, placement] = await Promise.all(
    ['syncz', 'scopes', 'placement'].map((page) => getJson(options, `/debug/${page}`)),
  );
  const { self, pushers } = fieldsOf(placement);
  const { name, address } = fieldsOf(self);
  const { log } = fieldsOf(scopes);
  const pusher: Pusher = {
    name: textOf(name),
    streams: listOf(streams),
    silence: textOf(fieldsOf(log)['silence']),
  };
  return { pusher, address: textOf(address), members: listOf(pushers) };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function describe({ name, address, streams, silentMs }: Readonly<Record<string, unknown>>): string {
  const seconds = Math.round(Number(silentMs) / 1_000);
  const said = `${Number(streams)} streams, it said ${seconds} s ago`;
  return `${textOf(name)} (xDS ${textOf(address)}; ${said})`;
}
