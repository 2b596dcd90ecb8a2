import type { Nack, Selectors } from '@watershed/model/gen/record.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import type { Tracing } from '@watershed/runtime/tracing.ts';
import type { ColdStore } from '../cold.ts';
import type { FeedbackWriter } from '../feedback.ts';
import type { PusherMetrics } from '../metrics.ts';
import { scopeOf, type ProxyNode } from '../node-scope.ts';
import type { SessionContext } from '../session/context.ts';
import { KeptNames } from '../session/kept-names.ts';
import { RequestDecoder } from '../session/request-codec.ts';
import { defaultLimits, type SessionLimits } from '../session/session-options.ts';
import type { DigestKey } from '../session/set-digest.ts';
import { traitsOf } from '../session/type-traits.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { Scopes } from '../view/scopes.ts';
import type { Admission } from './admission.ts';
import { Alarms } from './alarms.ts';
import type { Carrier, StreamEnd, StreamHow } from './carrier.ts';
import type { AnswerQuery } from './debug-queries.ts';
import { ScopeQuarantines } from './scope-quarantines.ts';
import { formerViews } from './former-views.ts';
import { crowded, HeldScopes, sendUnknownAway, type Held } from './held.ts';
import { laneOf, triggerOf } from './lane-of.ts';
import { PushSpans } from './push-spans.ts';
import { concerned, Spread } from './spread.ts';
import { SessionKinds } from './session-kinds.ts';
import { StreamMeter } from './stream-meter.ts';
import type { StreamObserver } from './stream-observer.ts';
import type { StreamHost } from './stream-host.ts';
import { XdsStream } from './stream.ts';

export interface HubOptions {
  /** This pusher's; unique among pushers. */
  readonly name: string;
  readonly context: SessionContext;
  readonly time: Time;
  readonly logger: Logger;
  readonly metrics: PusherMetrics;
  readonly tracing: Tracing;
  readonly feedback: FeedbackWriter;
  readonly scopes: Scopes;
  readonly digestKey: DigestKey;
  readonly admission: Admission;
  readonly answer: AnswerQuery;
  readonly limits?: Partial<SessionLimits> | undefined;
  /** Streams written to before others get a turn. */
  readonly chunk: number;
  /** A client that takes nothing for so long is cut off; 0: never. */
  readonly sendTimeoutMs: number;
  /** By type; see `WATERSHED_RESOURCE_TTL`. */
  readonly ttlsMs?: ReadonlyMap<string, number>;
  /** How long a scope that nobody uses is kept. Default 5 minutes. */
  readonly scopeIdleMs?: number;
  /**
   * Held at once, though nobody may use them: what tells scopes is the proxies' word. Default
   * 2,000.
   */
  readonly maxScopesOfNamespace?: number | undefined;
  /** Whether the proxies of that namespace belong here: their scopes are kept 12 times as long. */
  readonly isOwner?: (tenant: string) => boolean;
  /** A scope is used that may have no view: it must not wait for others to be quiet. */
  readonly onHeld: () => void;
  /** How long a scope waits for its manifest before what was served last is served again. */
  readonly coldAfterMs: number;
  /** What this machine served before. */
  readonly cold?: ColdStore | undefined;
}

/** Knows all streams: which scope each is of, and what it is to be brought to. */
export class Hub implements StreamHost<XdsStream> {
  readonly context: SessionContext;
  readonly decoder: RequestDecoder;
  readonly time: Time;
  readonly alarms: Alarms;
  readonly limits: SessionLimits;
  readonly names: KeptNames;
  readonly kinds = new SessionKinds();
  readonly sendTimeoutMs: number;
  readonly ttlsMs: ReadonlyMap<string, number>;
  readonly observer: StreamObserver<XdsStream>;
  readonly admission: Admission;
  readonly answer: AnswerQuery;
  readonly #options: HubOptions;
  readonly #streams = new Set<XdsStream>();
  readonly #held: HeldScopes;
  /** Streams that are to move once their new scope is whole; by that scope. */
  readonly #moving = new Map<string, Set<XdsStream>>();
  /** Streams whose scope cannot be told yet: nothing is known of what tells it. */
  readonly #unplaced = new Set<XdsStream>();
  readonly #selectors = new Map<string, Selectors>();
  readonly #spread: Spread;
  readonly #spans: PushSpans;
  readonly #quarantines: ScopeQuarantines;
  #lastStream = 0;
  #ready = false;
  /** Not ready, but this machine knows what it knew before. */
  #stale = false;
  /** And for so long that proxies are sent here all the same. */
  #standsIn = false;
  #draining = false;

  constructor(options: HubOptions) {
    this.#options = options;
    this.context = options.context;
    this.time = options.time;
    this.alarms = new Alarms(options.time);
    this.limits = { ...defaultLimits, ...options.limits };
    this.names = new KeptNames(this.limits);
    this.decoder = new RequestDecoder(options.digestKey, this.limits.maxNames);
    this.sendTimeoutMs = options.sendTimeoutMs;
    this.ttlsMs = options.ttlsMs ?? new Map();
    this.#spans = new PushSpans(options.tracing, options.time);
    this.admission = options.admission;
    this.answer = options.answer;
    this.#quarantines = new ScopeQuarantines({
      ...options,
      streamsOf: (scope) => this.#held.get(scope)?.streams ?? [],
    });
    this.#held = this.#createHeld();
    const quarantines = this.#quarantines;
    this.observer = new StreamMeter({ ...options, spans: this.#spans, quarantines });
    this.#spread = new Spread({
      clock: options.time,
      timers: options.time,
      chunk: options.chunk,
      viewOf: (scope) => this.#options.scopes.view(scope),
      onTurn: (waitedMs) => options.metrics.queue.observe(waitedMs / 1_000),
    });
  }

  get streams(): ReadonlySet<XdsStream> {
    return this.#streams;
  }

  /** How many scopes are held. */
  get scopes(): number {
    return this.#held.size;
  }

  /** A new stream. */
  open(carrier: Carrier, how: StreamHow): XdsStream {
    const stream = new XdsStream(this, carrier, { ...how, id: ++this.#lastStream });
    this.#streams.add(stream);
    this.#options.metrics.streams(stream.mode).add(1);
    return stream.opened();
  }

  /** What tells scopes is known: streams that waited for it are placed. */
  ready(): void {
    const waiting = this.#stale ? this.#streams : this.#unplaced;
    this.#ready = true;
    // First of all: streams are placed by what is known now.
    this.#stale = false;
    this.#placeAll(waiting);
    this.#options.cold?.saveSelectors(this.#selectors);
  }

  /** By namespace; "" is for all others. */
  selectorsChanged(changed: ReadonlyMap<string, Selectors | undefined>): void {
    for (const [namespace, selectors] of changed) {
      if (selectors === undefined) this.#selectors.delete(namespace);
      else this.#selectors.set(namespace, selectors);
    }
    const others = changed.has('');
    const affected = [...this.#streams].filter(
      ({ node }) => node !== undefined && (others || changed.has(node.namespace)),
    );
    this.#placeAll(affected);
    if (this.#ready) this.#options.cold?.saveSelectors(this.#selectors);
  }

  /** The log cannot be read: scopes are told by what told them before. */
  readyCold(): void {
    if (this.#ready) return;
    this.#stale = true;
    this.#placeAll(this.#unplaced);
  }

  /** The log stays away: proxies of scopes that were never served here may be served elsewhere. */
  standIn(): void {
    this.#standsIn = true;
    for (const held of this.#held.values()) this.#sendAway(held);
  }

  #sendAway(held: Held): void {
    if (this.#standsIn && !this.#ready) sendUnknownAway(held);
  }

  get selectors(): ReadonlyMap<string, Selectors> {
    return this.#selectors;
  }

  /** A scope in use has a new view. */
  viewChanged(view: ScopeView, types: ReadonlySet<string>, before: ScopeView | undefined): void {
    const { metrics, scopes, context } = this.#options;
    context.past.note(view);
    metrics.served(types);
    if (scopes.complete(view.scope)) this.#options.cold?.save(view);
    const held = this.#held.get(view.scope);
    const lane = laneOf(view, types, before);
    if (before !== undefined) metrics.trigger(triggerOf(lane)).add();
    const shorts = [...types].map((typeUrl) => traitsOf(typeUrl).short);
    const some = concerned(held?.streams, lane, before, view, context.assignments);
    this.#spans.begin(view, shorts, some ?? held?.streams ?? new Set());
    if (held?.ready === true) {
      this.#spread.push(view.scope, held.tenant, lane, held.streams, some);
    }
    const moving = this.#moving.get(view.scope);
    if (moving !== undefined && scopes.complete(view.scope)) {
      this.#moving.delete(view.scope);
      for (const stream of moving) this.#move(stream, view.scope);
    }
    this.#quarantines.viewChanged(view);
    metrics.scopesWaiting.set(scopes.waiting.length);
  }

  newest({ scope }: XdsStream): ScopeView | undefined {
    return this.#held.get(scope)?.ready === true ? this.#options.scopes.view(scope) : undefined;
  }

  asked(stream: XdsStream): ScopeView | undefined {
    const held = this.#held.get(stream.scope);
    return held?.streams.noted(stream) === true
      ? this.#options.scopes.view(stream.scope)
      : undefined;
  }

  /** A pusher's proxies refused something, or do so no more. */
  heard(pusher: string, nack: Nack, told: boolean): void {
    this.#quarantines.heard(pusher, nack, told);
  }

  /** Names of all pushers that there are. */
  members(names: ReadonlySet<string>): void {
    this.#quarantines.members(names);
  }

  identified(stream: XdsStream, node: ProxyNode): void {
    this.#options.metrics.clients.add(node, 1);
    this.observer.identified(node);
    this.#options.logger.debug('a proxy connected', {
      proxy: node.id,
      stream: stream.id,
      protocol: stream.mode,
      peer: stream.peer.address,
    });
    this.#place(stream);
  }

  closed(stream: XdsStream): void {
    this.#streams.delete(stream);
    this.#unplaced.delete(stream);
    this.#options.metrics.streams(stream.mode).add(-1);
    const { node } = stream;
    if (node === undefined) return;
    this.#options.metrics.clients.add(node, -1);
    this.#stopMoving(stream);
    this.#leave(stream);
  }

  /**
   * Ends all streams, a few at a time, so that proxies do not come to the other replicas all at
   * once.
   */
  async drain(signal: AbortSignal, overMs: number): Promise<void> {
    this.#draining = true;
    const end: StreamEnd = { code: 'unavailable', message: 'this replica is stopping' };
    const steps = 20;
    const share = Math.max(1, Math.ceil(this.#streams.size / steps));
    while (this.#streams.size > 0 && !signal.aborted) {
      for (const stream of [...this.#streams].slice(0, share)) stream.end(end);
      if (this.#streams.size === 0) break;
      await new Promise<void>((resolve) => {
        this.time.after(overMs / steps, resolve);
      });
    }
    for (const stream of this.#streams) stream.end(end);
  }

  stop(): void {
    this.#quarantines.stop();
    this.#spread.stop();
    this.admission.stop();
    this.alarms.stop();
    this.#spans.stop();
    this.#held.stop();
  }

  #placeAll(streams: Iterable<XdsStream>): void {
    for (const stream of streams) this.#place(stream);
  }

  #place(stream: XdsStream): void {
    const { node } = stream;
    if (node === undefined || stream.isClosed) return;
    const selectors = this.#selectorsOf(node.namespace);
    if (selectors === undefined) {
      if (stream.scope === '') this.#unplaced.add(stream);
      return;
    }
    this.#unplaced.delete(stream);
    const { id, scopeClass } = scopeOf(node, selectors);
    if (id === stream.scope) {
      this.#stopMoving(stream);
      return;
    }
    if (!this.#held.hold(id, node.namespace)) return stream.end(crowded);
    // What was held back is taken for a scope that waits: by other selectors it is placed by now.
    if (this.#selectorsOf(node.namespace) !== selectors) return this.#held.idle(id);
    this.#options.feedback.demand(id, scopeClass);
    if (stream.scope === '' || this.#options.scopes.complete(id)) {
      this.#move(stream, id);
      return;
    }
    // The old manifest stays in force until the new one is whole.
    this.#stopMoving(stream);
    const moving = this.#moving.get(id) ?? new Set();
    this.#moving.set(id, moving.add(stream));
  }

  #selectorsOf(namespace: string): Selectors | undefined {
    const known = this.#stale ? this.#options.cold?.selectors : this.#selectors;
    if (known === undefined || !(this.#ready || this.#stale)) return undefined;
    return known.get(namespace) ?? known.get('');
  }

  #move(stream: XdsStream, scope: string): void {
    this.#leave(stream);
    const held = this.#held.get(scope);
    held?.streams.add(stream);
    this.#quarantines.join(stream, scope);
    stream.follow(scope, held?.ready === true ? this.#options.scopes.view(scope) : undefined);
    if (held !== undefined) this.#sendAway(held);
  }

  #stopMoving(stream: XdsStream): void {
    for (const [scope, moving] of this.#moving) {
      if (!moving.delete(stream) || moving.size > 0) continue;
      this.#moving.delete(scope);
      this.#held.idle(scope);
    }
  }

  #leave(stream: XdsStream): void {
    const { scope } = stream;
    if (this.#held.get(scope)?.streams.delete(stream) !== true) return;
    this.#quarantines.leave(stream);
    this.#held.idle(scope);
  }

  /**
   * Reads what clients may have been served before: by this machine, or while it was away. They may
   * come with a version of it, so streams wait for it; and where nothing newer comes, what this
   * machine served is served.
   */
  async #warm(scope: string, held: Held): Promise<void> {
    const { cold, scopes, time, coldAfterMs } = this.#options;
    const view = await cold?.load(scope);
    const former = await formerViews(scope, this.#options);
    if (this.#held.get(scope) !== held) return;
    if (former.length > 0) {
      this.context.past.note({ scope, types: new Map(former.map((one) => [one.typeUrl, one])) });
    }
    if (view !== undefined) {
      this.context.past.note(view);
      time.after(coldAfterMs, () => scopes.offer(view));
    }
    held.ready = true;
    held.kept = view !== undefined;
    this.#sendAway(held);
    for (const stream of held.streams) stream.follow(scope, this.#options.scopes.view(scope));
  }

  #createHeld(): HeldScopes {
    const { time, scopeIdleMs, maxScopesOfNamespace, isOwner, scopes, feedback } = this.#options;
    return new HeldScopes({
      ...{ timers: time, idleMs: scopeIdleMs, mostOfNamespace: maxScopesOfNamespace },
      staysWarm: (tenant) => isOwner?.(tenant) === true,
      isWanted: (scope) => this.#moving.has(scope) || this.#draining,
      begun: (scope, held) => {
        scopes.acquire(scope);
        this.#options.onHeld();
        void this.#warm(scope, held);
        this.#measure();
      },
      ended: (scope) => {
        feedback.undemand(scope);
        scopes.release(scope);
        this.#quarantines.ended(scope);
        this.#measure();
      },
    });
  }

  #measure(): void {
    this.#options.metrics.scopes.set(this.#held.size);
    this.#options.metrics.scopesWaiting.set(this.#options.scopes.waiting.length);
  }
}
