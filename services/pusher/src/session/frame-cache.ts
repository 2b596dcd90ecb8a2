import type { Clock } from '@watershed/runtime/clock.ts';
import type { Entry } from '../view/type-view.ts';
import { eachAsked, isAsked } from './asked.ts';
import { encodeFrame, type Frame, type Materialise, type Plan } from './frame.ts';
import { FewSteps } from './few-steps.ts';
import { isSame, type Step } from './step.ts';
import { eachDifference, isNarrow, narrowDigest } from './narrow.ts';
import { traitsOf } from './type-traits.ts';

export interface FrameCacheOptions {
  /** Of encoded frames that are kept for streams still to come. Default 32 MiB. */
  readonly maxBytes?: number | undefined;
  readonly clock: Clock;
  readonly controlPlane: Uint8Array;
  readonly materialise: Materialise;
  /** Told of each encoding: how often must not depend on the number of streams. */
  readonly onEncoded?: (frame: Frame) => void;
}

interface Cached {
  /** `undefined`: nothing to say. */
  readonly plan: Plan | undefined;
  frame: Frame | undefined;
  /** In place of `frame` where secrets are open in it: it lives as long as a stream awaits its ACK. */
  passing: WeakRef<Frame> | undefined;
}

const maxRecent = 8;

/** Of one generation. Plans without a frame cost little, so they are bounded by number. */
const maxPlans = 10_000;

/**
 * How long one is the newest. Streams make a step together, or one soon after the other. A plan
 * keeps the resources of its time, which nobody else may need any more; who comes later pays for
 * one more encoding.
 */
const generationMs = 5_000;

interface Generation {
  readonly cached: Map<string, Cached>;
  bytes: number;
}

function generation(): Generation {
  return { cached: new Map(), bytes: 0 };
}

/**
 * Frames by step: a thousand streams that make the same step get the same buffer. The nonce is in
 * it, from a counter that never goes back; a stream that makes the same step again gets a frame
 * with a new one.
 *
 * What was used in neither of two generations is forgotten. (By the order of use it would cost a
 * walk over what was taken out of the table before, for each plan, where each stream has its own.)
 */
export class FrameCache {
  readonly #options: FrameCacheOptions;
  /** Of one generation. */
  readonly #maxBytes: number;
  readonly #ids = new WeakMap<object, number>();
  #lastId = 0;
  #young = generation();
  #old = generation();
  #sinceMs = Number.NEGATIVE_INFINITY;
  readonly #few = new FewSteps<Cached>();
  readonly #recent: { readonly step: Step; readonly cached: Cached }[] = [];
  #recentAt = 0;
  #sequence = 0;

  constructor(options: FrameCacheOptions) {
    this.#options = options;
    this.#maxBytes = (options.maxBytes ?? 32 * 1024 * 1024) / 2;
  }

  get bytes(): number {
    return this.#young.bytes + this.#old.bytes + this.#few.bytes;
  }

  /** Whether the resources that a step says are more than so many bytes; nothing is encoded. */
  exceeds(step: Step, most: number): boolean {
    if (isStill(step)) return false;
    let bytes = 0;
    return this.#cachedOf(step).plan?.entries.some(({ size }) => (bytes += size) > most) === true;
  }

  /** The frame of a step that has a plan, newer than `afterSequence`. */
  frame(step: Step, afterSequence: number): Frame | undefined {
    if (isStill(step)) return undefined;
    const cached = this.#cachedOf(step);
    if (cached.plan === undefined) return undefined;
    const known = cached.frame ?? cached.passing?.deref();
    if (known !== undefined && known.sequence > afterSequence) return known;
    const { controlPlane, materialise, onEncoded } = this.#options;
    const frame = encodeFrame(cached.plan, ++this.#sequence, controlPlane, materialise);
    onEncoded?.(frame);
    this.#keep(step, cached, frame);
    return frame;
  }

  #keep(step: Step, cached: Cached, frame: Frame): void {
    if (traitsOf(frame.plan.typeUrl).stage === 'secrets') {
      cached.passing = new WeakRef(frame);
      return;
    }
    const more = frame.bytes.length - (cached.frame?.bytes.length ?? 0);
    if (isOfFew(step)) this.#few.keep(more);
    else this.#young.bytes += more;
    cached.frame = frame;
  }

  /**
   * Streams that are walked one after the other are mostly at the same few steps: those need no
   * key.
   */
  #cachedOf(step: Step): Cached {
    if (isOfFew(step)) {
      this.#turn();
      return this.#few.find(step, made);
    }
    for (const one of this.#recent) if (isSame(one.step, step)) return one.cached;
    const cached = this.#lookUp(step);
    this.#recent[this.#recentAt++ % maxRecent] = { step, cached };
    return cached;
  }

  /** Gives what is in the young generation from now on. */
  #lookUp(step: Step): Cached {
    this.#turn();
    const key = this.#keyOf(step);
    const young = this.#young.cached.get(key);
    if (young !== undefined) return young;
    const old = this.#old.cached.get(key);
    const cached = old ?? made(step);
    this.#young.cached.set(key, cached);
    if (old !== undefined) {
      const bytes = old.frame?.bytes.length ?? 0;
      this.#old.cached.delete(key);
      this.#old.bytes -= bytes;
      this.#young.bytes += bytes;
    }
    return cached;
  }

  #turn(): void {
    const nowMs = this.#options.clock.monotonic();
    const { cached, bytes } = this.#young;
    const isFull = bytes > this.#maxBytes || cached.size >= maxPlans;
    if (!isFull && nowMs < this.#sinceMs + generationMs) return;
    const isLong = nowMs >= this.#sinceMs + 2 * generationMs;
    this.#sinceMs = nowMs;
    this.#old = isLong ? generation() : this.#young;
    this.#young = generation();
    this.#few.turn();
    if (isLong) this.#few.turn();
    this.#recent.length = 0;
    this.#recentAt = 0;
  }

  #keyOf(step: Step): string {
    const { mode, held, target, subscription, owed, mustAnswer, ttlMs, heartbeat } = step;
    const parts = `${this.#id(held)}|${this.#id(target)}|${this.#id(subscription)}|${this.#id(owed)}`;
    const ttl = ttlMs > 0 || heartbeat ? `${heartbeat ? 'h' : 't'}${ttlMs}|` : '';
    return `${mode === 'delta' ? 'd' : 's'}${mustAnswer ? '!' : ''}${ttl}${parts}`;
  }

  #id(of: object | undefined): number {
    if (of === undefined) return 0;
    let id = this.#ids.get(of);
    if (id === undefined) this.#ids.set(of, (id = ++this.#lastId));
    return id;
  }
}

function isOfFew({ subscription, target }: Step): boolean {
  return subscription.isNarrow && target.isPlain;
}

function made(step: Step): Cached {
  return { plan: makePlan(step), frame: undefined, passing: undefined };
}

/** Nothing is owed, and nothing that is asked for differs: it needs no words, and no memory. */
function isStill(step: Step): boolean {
  if (step.owed !== undefined || step.mustAnswer || step.heartbeat || !isNarrow(step)) return false;
  let still = true;
  eachDifference(step, () => {
    still = false;
  });
  return still;
}

/** Decides what a step says; costs what differs, and the full set where the protocol asks for it. */
function makePlan(step: Step): Plan | undefined {
  if (step.heartbeat) return heartbeat(step);
  const found = difference(step);
  const sotw = step.mode === 'sotw';
  const full = sotw && traitsOf(step.target.typeUrl).fullSet;
  const silent = full
    ? found.changed.size === 0 && found.gone.length === 0 && found.owed.size === 0
    : found.changed.size === 0 &&
      found.owed.size === 0 &&
      (sotw || found.removed.size + found.unknown.size === 0);
  if (silent && !step.mustAnswer) return undefined;
  const both = found.owed.size === 0 ? found.changed : new Set([...found.changed, ...found.owed]);
  const entries = full ? fullSet(step) : [...both];
  // One order for equal content: by name.
  entries.sort(byName);
  const changed = [...found.changed];
  const isRemoval = changed.length + found.owed.size === 0 && found.gone.length > 0;
  // Of a client with a version that nobody knows it is a guess what it has: any may be new to it.
  const isGuess = full && step.mustAnswer;
  return {
    mode: step.mode,
    typeUrl: step.target.typeUrl,
    version: versionOf(step),
    entries,
    changed: changed.length === 0 && !isRemoval ? entries : changed,
    removed: sotw ? [] : [...found.removed].sort(),
    unknown: sotw ? [] : [...found.unknown].sort(),
    needs: setOf((isGuess ? entries : changed).flatMap((entry) => entry.refs)),
    view: step.target,
    ttlMs: step.ttlMs,
    heartbeat: false,
  };
}

/**
 * Clients come back with it in state of the world alone; in delta it is for people (rule 43). Who
 * has what he named, and comes back to ask for all, must not be taken for one that has it (rule
 * 14).
 */
function versionOf(step: Step): string {
  const { mode, target, subscription } = step;
  if (mode === 'delta') return narrowDigest(step) ?? target.digest;
  return subscription.wildcard ? target.digest : `${target.digest}-named`;
}

/** All that the client holds, by name and version (rule 46). */
function heartbeat(step: Step): Plan | undefined {
  const { mode, target, ttlMs } = step;
  const owed = new Set(step.owed?.names);
  // Named alone, it needs no bytes; what is owed the client may not have.
  const entries = fullSet(step, true)
    .filter(({ name }) => !owed.has(name))
    .sort(byName);
  if (entries.length === 0) return undefined;
  const { typeUrl } = target;
  const version = versionOf(step);
  const nothing = { changed: [], removed: [], unknown: [], needs: new Set<string>() };
  return { mode, typeUrl, version, entries, ...nothing, view: target, ttlMs, heartbeat: true };
}

interface Difference {
  readonly changed: ReadonlySet<Entry>;
  readonly owed: ReadonlySet<Entry>;
  readonly gone: readonly string[];
  readonly removed: ReadonlySet<string>;
  readonly unknown: ReadonlySet<string>;
}

function difference(step: Step): Difference {
  const { held, target, subscription, owed } = step;
  const changed = new Set<Entry>();
  const gone: string[] = [];
  const add = (to: Set<Entry>, entry: Entry): boolean => {
    if (entry.fragments !== undefined) to.add(entry);
    return entry.fragments !== undefined;
  };
  if (held === undefined) {
    eachAsked(subscription, target, (entry) => add(changed, entry));
  } else if (isNarrow(step)) {
    eachDifference(step, (before, after) => {
      if (after !== undefined) add(changed, after);
      else if (before !== undefined) gone.push(before.name);
    });
  } else {
    held.diff(target, (_name, before, after) => {
      const was = before !== undefined && isAsked(subscription, held, before);
      if (after === undefined || !isAsked(subscription, target, after)) {
        if (was) goneWith(step, before, gone);
        return;
      }
      add(changed, after);
      // What it has just begun to bring along may be old.
      if (!was && !subscription.wildcard) target.eachMember(after, (entry) => add(changed, entry));
    });
  }
  if (owed === undefined) {
    return { changed, owed: setOf([]), gone, removed: setOf(gone), unknown: setOf([]) };
  }
  const removed = new Set(gone);
  const unknown = new Set<string>();
  const onDemand = traitsOf(target.typeUrl).stage === 'hosts';
  const found = new Set<Entry>();
  for (const leaf of owed.leaves) {
    if (!subscription.has(leaf)) continue;
    // The wildcard, which may be all that has the name, is not about these.
    const may = (entry: Entry): boolean =>
      entry.located !== true || isAsked(subscription, target, entry);
    let isThere = false;
    target.eachNamed(leaf, (entry) => {
      if (may(entry)) isThere = add(found, entry) || isThere;
    });
    const own = target.lookup(leaf);
    // What the client only says that it has goes when it is no longer needed (rule 30).
    if (isThere || (own !== undefined && may(own))) continue;
    // A name that is removed must not be said twice (rule 22).
    (onDemand && !removed.has(leaf.name) ? unknown : removed).add(leaf.name);
  }
  return { changed, owed: found, gone, removed, unknown };
}

/** It goes, and what came with it goes where nothing else brings it; what differs is told anyway. */
function goneWith({ held, target, subscription }: Step, entry: Entry, gone: string[]): void {
  gone.push(entry.name);
  if (subscription.wildcard) return;
  held?.eachMember(entry, (member) => {
    const isSame = target.lookup(member) === member;
    if (isSame && !isAsked(subscription, target, member)) gone.push(member.name);
  });
}

/** Most are empty. */
const empty: ReadonlySet<never> = new Set<never>();

function setOf<T>(members: readonly T[]): ReadonlySet<T> {
  return members.length === 0 ? empty : new Set(members);
}

function fullSet(step: Step, isNamedOnly = false): Entry[] {
  const entries = new Set<Entry>();
  eachAsked(step.subscription, step.target, (entry) => {
    if (isNamedOnly || entry.fragments !== undefined) entries.add(entry);
  });
  return [...entries];
}

function byName(a: Entry, b: Entry): number {
  return a.name < b.name ? -1 : 1;
}
