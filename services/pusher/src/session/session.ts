/**
 * The xDS protocol on one stream, state of the world and delta, as a pure state machine: requests
 * and views go in, frames come out of `next`. It has no socket, no clock and no timer; whoever
 * drives it writes the frames, tells the time and calls again at `wakeAtMs`. What is to be said is
 * decided when it can be written, so a slow client costs nothing but this object, and it skips
 * straight to the newest view. Times are best given in whole ms: others are objects of their own.
 *
 * Numbers of rules are those of Envoy's `xds_protocol.rst` as listed in
 * `test/session/rules.test.ts`.
 */
import type { ScopeView } from '../view/scope-view.ts';
import type { TypeView } from '../view/type-view.ts';
import { excessOf, violationOf } from './admissible.ts';
import type { SessionContext } from './context.ts';
import { Following } from './following.ts';
import { FreshTables } from './fresh-tables.ts';
import type { Frame } from './frame.ts';
import { Gates } from './gates.ts';
import { answerTo, probeAtMs } from './nack.ts';
import { namesHeld } from './lifetime.ts';
import { applyDelta, applySotw } from './requests.ts';
import type { Mode, Request } from './request.ts';
import type { ScopeQuarantine } from './quarantine.ts';
import {
  defaultLimits,
  type SessionLimits,
  type SessionObserver,
  type SessionOptions,
  type Violation,
} from './session-options.ts';
import type { Outstanding } from './outstanding.ts';
import { NameList } from './subscription.ts';
import { revokes, Targets } from './targets.ts';
import type { Step } from './step.ts';
import type { TypeState } from './type-state.ts';
import { stages } from './type-traits.ts';

export class Session {
  readonly #context: SessionContext;
  readonly #options: SessionOptions;
  readonly #observer: SessionObserver | undefined;
  readonly #targets: Targets;
  readonly #gates: Gates;
  readonly #following = new Following();
  /** The client has answered some response, on this stream or an earlier one. */
  #answers = false;
  /** Where hosts are sent apart from their tables. */
  readonly #freshTables: FreshTables | undefined;
  /** Nothing to say until something happens. */
  #idle = false;
  /** It holds no view (see `park`), and asks for the newest when it needs one. */
  #parked = false;

  constructor(context: SessionContext, options: SessionOptions, observer?: SessionObserver) {
    this.#context = context;
    this.#options = options;
    this.#observer = observer;
    this.#targets = new Targets(context, options);
    this.#gates = new Gates(this.#targets, options, observer);
    this.#freshTables = options.hostsApart === true ? new FreshTables() : undefined;
  }

  get mode(): Mode {
    return this.#options.mode;
  }

  get #limits(): SessionLimits {
    return this.#options.limits ?? defaultLimits;
  }

  /**
   * The newest view of the stream's scope; until the first, every request is held, not answered as
   * empty.
   */
  setGoal(goal: ScopeView): void {
    if (goal === this.#targets.goal) return;
    this.#parked = false;
    this.#targets.moveTo(goal);
    for (const { refusals } of this.#targets.types) {
      if (refusals !== undefined) refusals.resends = 0;
    }
    this.#idle = false;
  }

  /**
   * Lets go of its view, if the client has all that it asks for of it and that is a few
   * assignments: a view that thousands of streams hold, each of another moment, is dear. Others'
   * views concern it only when it is given one.
   */
  park(): void {
    if (this.#parked || !this.#idle || !this.#targets.isPart) return;
    this.#targets.goal = undefined;
    this.#parked = true;
  }

  get isParked(): boolean {
    return this.#parked;
  }

  /** What other clients of the scope refused, and this one is not to be sent. */
  spare(quarantine: ScopeQuarantine | undefined): void {
    if (quarantine === this.#targets.quarantine) return;
    this.#targets.quarantine = quarantine;
    this.#idle = false;
  }

  get goal(): ScopeView | undefined {
    return this.#parked ? this.#observer?.newest?.() : this.#targets.goal;
  }

  /** Takes one request. A violation ends the stream. */
  request(request: Request, nowMs: number): Violation | undefined {
    this.#gates.start(nowMs);
    const { onlyType } = this.#options;
    const typeUrl = request.typeUrl === '' ? (onlyType ?? '') : request.typeUrl;
    const bounds = { limits: this.#limits, onlyType, types: this.#targets.types };
    const violation = violationOf(request, typeUrl, bounds);
    if (violation !== undefined) return violation;
    let state = this.#targets.type(typeUrl);
    const first = state === undefined;
    state ??= this.#targets.begin(typeUrl);
    const answered = first ? undefined : this.#answer(state, request);
    const { subscription, owedCount } = state;
    if (request.mode === 'sotw') applySotw(this.#context, state, request, { first, answered });
    else applyDelta(this.#context, state, request, first);
    state.mustAnswer ||= this.#options.alwaysAnswer === true;
    this.#answers ||= state.resumed;
    if (first && state.resumed) this.#following.resumed(state);
    const asksOthers = first || state.subscription !== subscription;
    if (asksOthers && !first) this.#following.asked(state);
    // That it took what it was sent changes nothing for a client for which nothing waits.
    const asks = asksOthers || state.owes || state.mustAnswer;
    this.#idle &&= !asks && request.error === undefined && this.#gates.wakeAtMs === undefined;
    if (!asksOthers && state.owedCount <= owedCount) return undefined;
    return excessOf(this.#targets.types, state, this.#limits, this.#observer);
  }

  /** When `next` is to be called again, without anything having happened; `Infinity`: never. */
  get wakeAtMs(): number {
    return this.#gates.wakeAtMs ?? Number.POSITIVE_INFINITY;
  }

  /**
   * The next frame to write, if there is any; to be called until there is none, while writing is
   * possible.
   */
  next(nowMs: number): Frame | undefined {
    if (this.#idle && nowMs < this.wakeAtMs) return undefined;
    if (this.goal === undefined) return undefined;
    this.setGoal(this.goal);
    this.#gates.look(nowMs);
    const said =
      this.#make(nowMs) ?? this.#break(nowMs) ?? this.#probe(nowMs) ?? this.#refresh(nowMs);
    this.#idle = said === undefined;
    return said === 'later' ? undefined : said;
  }

  /** All types in their present state, for debug pages. */
  types(): readonly TypeState[] {
    return this.#targets.types;
  }

  /** What of it waits for ACKs (see `Gates`). */
  get gates(): Pick<Gates, 'waitsFor' | 'forced'> {
    return this.#gates;
  }

  /** Whether the client has answered all that its present view asks for. */
  get synced(): boolean {
    if (!this.#idle || (!this.#parked && this.#targets.goal === undefined)) return false;
    if (this.#targets.withheld !== undefined) return false;
    return this.#targets.types.every(({ outstanding }) => outstanding.length === 0);
  }

  /**
   * ACK or NACK. Returns whether the request answers the newest response; stale ones do not (rule
   * 11).
   */
  #answer(state: TypeState, request: Request): boolean {
    if (request.nonce === '') return false;
    const newest = request.nonce === state.nonceSent;
    const settled = state.settle(request.nonce);
    if (!newest) this.#observer?.stale?.(state.traits.typeUrl);
    if (settled === undefined) return newest;
    this.#answers = true;
    if (request.error === undefined) {
      state.take(settled.frame);
      state.refusals?.took(settled);
      this.#observer?.acked?.(state.traits.typeUrl, settled.frame);
    } else {
      const nack = answerTo(this.#context, state, settled, request.error);
      this.#observer?.nacked?.(nack);
    }
    return newest;
  }

  /**
   * Additions and changes: secrets and clusters, their endpoints, then, once those are there, the
   * rest.
   */
  #make(nowMs: number): Said {
    for (const stage of stages.first) {
      for (const state of this.#targets.types) {
        if (state.traits.stage !== stage) continue;
        const frame = this.#advance(state, this.#targets.make(state), nowMs);
        if (frame !== undefined) return frame;
      }
    }
    // Where nothing is routed, nothing waits, and nothing has to be looked at again.
    let open: boolean | undefined;
    for (const stage of stages.routing) {
      for (const state of this.#targets.types) {
        if (state.traits.stage !== stage) continue;
        if (stage === 'hosts') this.#freshTables?.owe(state, this.#targets);
        const target = this.#targets.make(state);
        open ??= this.#gates.mayRoute(nowMs);
        // A client that answers nothing is not made to wait for its own answers.
        const may = open || (!this.#answers && state.held === undefined);
        const frame = may ? this.#advance(state, target, nowMs) : this.#reply(state, target, nowMs);
        if (frame !== undefined) return frame;
      }
    }
    return undefined;
  }

  /**
   * Removals, once all else was accepted: routes, then the clusters that they named, then the rest
   * (rule 30).
   */
  #break(nowMs: number): Said {
    let removal = false;
    let making = false;
    for (const state of this.#targets.types) {
      // One that has had nothing yet waits for its first answer, as what it names does.
      if (state.held === this.#targets.of(state) || this.#targets.withholds(state)) continue;
      if (state.held === this.#targets.make(state)) removal = true;
      else making = true;
    }
    if (making || !removal) return this.#gates.keep();
    if (!this.#gates.mayBreak(nowMs)) return undefined;
    this.#targets.dropOrphans();
    for (const stage of stages.removals) {
      for (const state of this.#targets.types) {
        if (state.traits.stage !== stage) continue;
        // It waits anew once that is mended.
        if (stage !== 'routes' && this.#targets.keepsRoutes) return this.#gates.keep();
        const frame = this.#advance(state, this.#targets.of(state), nowMs);
        if (frame !== undefined) return frame;
      }
    }
    // What went in silence, as a table over state of the world, has no answer that ends the wait.
    const done = this.#targets.types.every((state) => state.held === this.#targets.of(state));
    return done ? this.#gates.keep() : undefined;
  }

  /** Tries doubtful versions again, some at a time, to find out which is bad. */
  #probe(nowMs: number): Said {
    for (const state of this.#targets.types) {
      const { refusals } = state;
      if (refusals?.quarantine === undefined) continue;
      const atMs = probeAtMs(state, nowMs, this.#limits.probeAfterMs);
      if (atMs > nowMs) {
        this.#gates.wake(atMs);
        continue;
      }
      refusals.resends++;
      const names = refusals.doubtful.slice(0, refusals.probeSize).map((one) => one.name);
      refusals.quarantine = this.#context.quarantines.without(refusals.quarantine, new Set(names));
      state.owe(new NameList(names));
      const frame = this.#advance(state, this.#targets.make(state), nowMs, names.length);
      if (frame !== undefined) return frame;
    }
    return undefined;
  }

  /** Heartbeats, where the client drops what it does not hear of (rule 46). */
  #refresh(nowMs: number): Said {
    for (const state of this.#targets.types) {
      const { lifetime, held } = state;
      if (lifetime === undefined || held === undefined) continue;
      // A client that came back has what is left of the TTL that an earlier stream gave it.
      if (!state.resumed && lifetime.dueMs === undefined) continue;
      const dueMs = lifetime.dueMs ?? nowMs;
      if (nowMs < dueMs || state.outstanding.length >= this.#limits.maxOutstanding) {
        this.#gates.wake(nowMs < dueMs ? dueMs : Number.POSITIVE_INFINITY);
        continue;
      }
      const expired = lifetime.expired(nowMs);
      lifetime.beat(nowMs);
      this.#gates.wake(lifetime.dueMs ?? nowMs);
      if (expired) state.owe(namesHeld(held, state.subscription));
      const frame = expired ? this.#advance(state, held, nowMs) : this.#beat(state, held, nowMs);
      if (frame !== undefined) return frame;
    }
    return undefined;
  }

  #beat(state: TypeState, held: TypeView, nowMs: number): Frame | undefined {
    const target = this.mode === 'delta' ? held : (state.lifetime?.sent ?? held);
    const step = { ...this.#step(state, target, state.owed, false), held: target, heartbeat: true };
    const frame = this.#context.frames.frame(step, state.lastSequence);
    if (frame === undefined) return undefined;
    return this.#sent(state, this.#context.sendings.of(frame, held, nowMs, 0));
  }

  /** Moves one type to `target`, in silence where nothing of it concerns the stream. */
  #advance(state: TypeState, target: TypeView, nowMs: number, probed = 0): Said {
    if (state.traits.stage === 'assignments') this.#following.owe(state, target);
    if (this.#targets.withholds(state, target)) return undefined;
    if (state.held === target && !state.owes && !state.mustAnswer) return this.#begun(state);
    if (this.#gates.blocks(state, nowMs) && !revokes(state, target)) {
      this.#gates.wake((state.outstanding.at(-1)?.sentMs ?? nowMs) + this.#limits.ackWaitMs);
      return this.#reply(state, target, nowMs);
    }
    const { held: before, owed: all } = state;
    const later = all && this.#targets.stillOwed(state, target, all);
    const now = later === undefined ? all : all?.without(new Set(later.names));
    const owed = now?.length === 0 ? undefined : now;
    const step = this.#step(state, target, owed, state.mustAnswer);
    if (state.begins && !this.#mayBegin(step)) return 'later';
    const frame = this.#context.frames.frame(step, state.lastSequence);
    state.held = target;
    if (all !== undefined) state.owed = later;
    if (state.traits.stage === 'assignments') this.#following.sentAssignments();
    this.#begun(state, frame);
    if (frame === undefined) {
      state.skip(before, target);
      if (before !== undefined) this.#observer?.suppressed?.(state.traits.typeUrl);
      return undefined;
    }
    state.mustAnswer = false;
    return this.#sent(state, this.#context.sendings.of(frame, before, nowMs, probed), owed);
  }

  #mayBegin(step: Step): boolean {
    const exceeds = (bytes: number): boolean => this.#context.frames.exceeds(step, bytes);
    return this.#observer?.mayBegin?.(exceeds) !== false;
  }

  #begun(state: TypeState, frame?: Frame): undefined {
    if (!state.begins) return;
    state.begins = false;
    if (state.resumed) this.#observer?.resumed?.(state.traits.typeUrl, frame === undefined);
  }

  /** Answers newly named resources at once, from what the client holds, though the type has to wait. */
  #reply(state: TypeState, target: TypeView, nowMs: number): Frame | undefined {
    const held = this.#targets.holds(state, target);
    if (!state.owes || held === undefined) return undefined;
    // What it holds may be a secret that it may hold no longer.
    if (state.traits.stage === 'secrets') return undefined;
    if (state.outstanding.length >= this.#limits.maxOutstanding) return undefined;
    const { owed } = state;
    if (owed === undefined) return undefined;
    // What only the target has comes with it; an absent name is not absent if it is about to come.
    const later = owed.leaves.filter((leaf) => !held.serves(leaf) && target.serves(leaf));
    const kept = this.#targets.stillOwed(state, held, owed);
    const rest = new Set([...later.map((leaf) => leaf.name), ...(kept?.names ?? [])]);
    const now = owed.without(rest);
    if (now.length === 0) return undefined;
    const step = this.#step(state, held, now, false);
    const frame = this.#context.frames.frame(step, state.lastSequence);
    state.owed = rest.size === 0 ? undefined : new NameList([...rest]);
    state.held = held;
    if (frame === undefined) return undefined;
    return this.#sent(state, this.#context.sendings.of(frame, held, nowMs, 0), now);
  }

  #step(state: TypeState, target: TypeView, owed: NameList | undefined, mustAnswer: boolean): Step {
    const { held, subscription } = state;
    const ttlMs = state.lifetime?.ttlMs ?? 0;
    const { mode } = this;
    return { mode, held, target, subscription, owed, mustAnswer, ttlMs, heartbeat: false };
  }

  #sent(state: TypeState, sent: Outstanding, owed?: NameList): Frame {
    const { frame, sentMs } = sent;
    const { plan } = frame;
    state.await(sent, this.#limits.maxOutstanding);
    state.lastSequence = frame.sequence;
    state.nonceSent = frame.nonce;
    state.sentAtS = Math.floor(sentMs / 1_000);
    state.versionSent = plan.version;
    state.lifetime?.said(plan.view, sentMs);
    if (state.traits.stage === 'routes') this.#freshTables?.sent(sent, owed);
    if (state.traits.stage === 'clusters') this.#following.sentClusters(state, plan, owed);
    if (state.traits.stage === 'assignments') {
      this.#following.gave(plan);
      this.#gates.gave(plan);
    }
    const whole = state.traits.fullSet && state.subscription.wildcard;
    if (this.mode === 'sotw' && whole) this.#context.remember(frame);
    this.#observer?.sent?.(frame);
    return frame;
  }
}

/** `later`: there is something to say, and no room for it yet. */
type Said = Frame | 'later' | undefined;
