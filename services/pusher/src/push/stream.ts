import { resourceTypes } from '@watershed/proto/any.ts';
import type { PeerIdentity } from '../identity/authenticator.ts';
import type { ProxyNode } from '../node-scope.ts';
import type { Frame } from '../session/frame.ts';
import type { Mode, Request } from '../session/request.ts';
import type { ScopeQuarantine } from '../session/quarantine.ts';
import type { SessionNack, SessionObserver } from '../session/session-options.ts';
import { optionsFor } from './session-kinds.ts';
import { Session } from '../session/session.ts';
import type { NameList, Subscription } from '../session/subscription.ts';
import { noCost, type Cost } from '../session/kept-names.ts';
import type { Stage } from '../session/type-traits.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { Sleeper } from './alarms.ts';
import type { Newcomer } from './admission.ts';
import { clientOf, endOf, type Carrier, type StreamEnd, type StreamHow } from './carrier.ts';
import { DebugQueries, isDebugType } from './debug-queries.ts';
import { answerWaitMs, saidAll } from './last-word.ts';
import type { StreamHost } from './stream-host.ts';

/**
 * One xDS stream: bytes in, a session, bytes out. Frames are asked of the session only while they
 * can be written, so there is no queue: a client that reads slowly is behind by one buffer of the
 * transport.
 */
export class XdsStream implements SessionObserver, Newcomer, Sleeper {
  readonly mode: Mode;
  /** Unique in the process, for people. */
  readonly id: number;
  /** When it was opened, by the monotonic clock. */
  readonly sinceMs: number;
  readonly peer: PeerIdentity;
  readonly #host: StreamHost<XdsStream>;
  readonly #carrier: Carrier;
  readonly #onlyType: string | undefined;
  readonly #once: boolean;
  #node: ProxyNode | undefined;
  #session: Session | undefined;
  #queries: DebugQueries | undefined;
  /** Of requests, one per type: what an ACK most likely repeats. */
  #recent: Map<string, NameList> | undefined;
  #scope = '';
  /** Its client says no more, and what it has asked for is answered until then. */
  #lastMs: number | undefined;
  /** Since when the transport takes nothing more. */
  #blockedMs: number | undefined;
  alarmTick: number | undefined;
  /** The view that it is being brought to, until it has all of it. */
  #converging: ScopeView | undefined;
  /** Until it was given all of a view it is new, and what it costs counts. */
  #isNew = true;
  #isAdmitted = false;
  /** It says what it has: it may need nothing. */
  isResumed = false;
  #newBytes = 0;
  /** Of names. */
  #kept = noCost;
  /** What was given to the transport has left. */
  #left: (() => void) | undefined;
  isClosed = false;

  constructor(
    host: StreamHost<XdsStream>,
    carrier: Carrier,
    how: StreamHow & { readonly id: number },
  ) {
    this.#host = host;
    this.#carrier = carrier;
    this.mode = how.mode;
    this.id = how.id;
    this.#onlyType = how.onlyType;
    this.#once = how.once === true;
    this.peer = carrier.peer;
    this.sinceMs = host.time.monotonic();
  }

  get openedMs(): number {
    const { time } = this.#host;
    return time.now() - (time.monotonic() - this.sinceMs);
  }

  /** `undefined` before the first request. */
  get node(): ProxyNode | undefined {
    return this.#node;
  }

  get session(): Session | undefined {
    return this.#session;
  }

  /** The id of the scope whose views it gets. */
  get scope(): string {
    return this.#scope;
  }

  get tenant(): string {
    return this.#node?.namespace ?? '';
  }

  /** It is one of those that the host has. */
  opened(): this {
    const excess = this.#host.names.open(clientOf(this.#carrier));
    if (excess !== undefined) this.#refuse({ code: 'resource-exhausted', message: excess });
    return this;
  }

  admitted(): void {
    this.#isAdmitted = true;
    this.#pump(this.#host.time.monotonic());
  }

  /** Whether what is said to it leaves at once. */
  get isReady(): boolean {
    return !this.isClosed && this.#blockedMs === undefined && this.#carrier.isReady;
  }

  /** Gives it a view of its scope, and sends what follows. */
  follow(scope: string, view: ScopeView | undefined): void {
    this.#scope = scope;
    if (view === undefined || this.#session === undefined || !this.#mayFollow) return;
    if (this.#session.isParked || this.#session.goal !== view) this.#converging = view;
    this.#session.setGoal(view);
    this.#pump(this.#host.time.monotonic());
  }

  /** As `follow`, where nothing in the view is new to it: it need not be pinned to an old one. */
  catchUp(view: ScopeView | undefined): void {
    if (this.#session?.isParked !== false || this.#session.goal === undefined) return;
    if (view === undefined || !this.#mayFollow) return;
    if (this.#converging !== undefined) this.#converging = view;
    this.#session.setGoal(view);
    this.#pump(this.#host.time.monotonic());
  }

  /** What it asks for of assignments; `undefined`: nothing yet. */
  get assignments(): Subscription | undefined {
    return this.#session?.types().find((one) => one.traits.stage === 'assignments')?.subscription;
  }

  /** What it is said to be was verified. */
  get authenticated(): boolean {
    return this.#carrier.caller.verified;
  }

  spare(quarantine: ScopeQuarantine | undefined): void {
    this.#session?.spare(quarantine);
  }

  message(bytes: Uint8Array): void {
    if (this.isClosed) return;
    this.#host.observer.request(bytes.length);
    let request: Request;
    try {
      request = this.mode === 'sotw' ? this.#sotw(bytes) : this.#host.decoder.delta(bytes);
      if (this.#onlyType === undefined && isDebugType(request.typeUrl)) {
        this.#query(request);
        return;
      }
      this.isResumed ||=
        request.mode === 'delta' ? request.initial !== undefined : request.versionInfo !== '';
      this.#identify(request.node);
    } catch (error) {
      this.#refuse(endOf(error));
      return;
    }
    const nowMs = this.#host.time.monotonic();
    const violation = this.#session?.request(request, Math.floor(nowMs));
    if (violation !== undefined) {
      this.#refuse(violation);
      return;
    }
    if ((request.typeUrl || this.#onlyType) === resourceTypes.endpoint) {
      const view = this.#host.asked(this);
      if (view !== undefined && this.#session?.goal !== undefined) this.#session.setGoal(view);
    }
    if (request.mode === 'sotw' && request.names.encoded !== undefined) {
      this.#recent ??= new Map();
      this.#recent.set(request.typeUrl, request.names);
    }
    this.#pump(nowMs);
  }

  /**
   * The client says no more: what is owed to it now is all that it gets. Later changes are none of
   * it, as it could not ACK them.
   */
  halfClosed(): void {
    this.#lastMs = this.#host.time.monotonic() + answerWaitMs;
    this.#finish();
    if (!this.isClosed) this.#schedule();
  }

  get #mayFollow(): boolean {
    return !this.isClosed && (this.#lastMs === undefined || this.#session?.goal === undefined);
  }

  #finish(): void {
    if (this.#lastMs === undefined || this.isClosed) return;
    const isDue = this.#session?.types().some((one) => one.isDue) === true;
    if (!isDue && this.#queries?.isDue !== true) this.end(saidAll);
  }

  /** The carrier takes bytes again. */
  drain(): void {
    const nowMs = this.#host.time.monotonic();
    if (this.#blockedMs !== undefined) this.#host.observer.drained(nowMs - this.#blockedMs);
    this.#blockedMs = undefined;
    this.#left?.();
    this.#left = undefined;
    this.#reply();
    this.#pump(nowMs);
  }

  /** Something changed that it may have to be told of. */
  pump(): void {
    this.#pump(this.#host.time.monotonic());
  }

  /** Writes what is to be said, as far as the client takes it. */
  #pump(startMs: number): void {
    const session = this.#session;
    if (session === undefined || this.isClosed) return;
    const { time, observer, admission } = this.#host;
    let nowMs = startMs;
    while (!this.isClosed && this.#blockedMs === undefined && this.#mayTake(session)) {
      const frame = session.next(Math.floor(nowMs));
      if (frame === undefined) break;
      const taken = this.#carrier.write(frame.bytes, frame.plan.typeUrl !== resourceTypes.secret);
      const writtenMs = time.monotonic();
      observer.wrote(frame, writtenMs - nowMs);
      nowMs = writtenMs;
      if (this.#isNew) this.#newBytes += frame.bytes.length;
      if (!taken) {
        this.#blockedMs = nowMs;
        if (this.#isNew) this.#left = admission.queued(frame.bytes.length);
      }
    }
    if (this.isClosed) return;
    if (this.#isNew && nowMs > startMs) admission.used(nowMs - startMs);
    session.park();
    this.#schedule();
    if (this.#converging !== undefined && session.synced) {
      const view = this.#converging;
      this.#converging = undefined;
      this.#isNew = false;
      // A client that connects to a view of long ago waits from its connect on.
      observer.converged(this, view, nowMs - Math.max(view.sinceMs, this.sinceMs));
    }
    this.#finish();
  }

  end(end: StreamEnd): void {
    if (this.isClosed) return;
    this.#carrier.end(end);
    this.closed();
  }

  #refuse(end: StreamEnd): void {
    this.#host.observer.refused(this, end);
    this.end(end);
  }

  /** The carrier is gone. */
  closed(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.keeps(noCost);
    this.#host.names.close(clientOf(this.#carrier));
    this.#left?.();
    this.#host.admission.forget(this);
    this.#host.alarms.cancel(this);
    this.#host.closed(this);
  }

  newest(): ScopeView | undefined {
    return this.#host.newest(this);
  }

  keeps(kept: readonly Cost[]): string | undefined {
    const before = this.#kept;
    this.#kept = kept;
    return this.#host.names.change(clientOf(this.#carrier), before, kept);
  }

  /** What it says that it has may be false, and its answer one that is encoded for it alone. */
  mayBegin(exceeds: (bytes: number) => boolean): boolean {
    if (this.#isAdmitted) return true;
    return !exceeds(this.#host.admission.freeBytes - this.#newBytes) || this.#ask();
  }

  sent(frame: Frame): void {
    this.#host.observer.sent(this, frame);
  }

  suppressed(typeUrl: string): void {
    this.#host.observer.suppressed(typeUrl);
  }

  resumed(typeUrl: string, unchanged: boolean): void {
    this.#host.observer.resumed(typeUrl, unchanged);
  }

  stale(typeUrl: string): void {
    this.#host.observer.stale(typeUrl);
  }

  acked(typeUrl: string, frame: Frame): void {
    this.#host.observer.acked(this, typeUrl, frame);
  }

  nacked(nack: SessionNack): void {
    this.#host.observer.nacked(this, nack);
  }

  gateForced(stage: Stage): void {
    this.#host.observer.gateForced(this, stage);
  }

  #sotw(bytes: Uint8Array): Request {
    const request = this.#host.decoder.sotw(bytes, this.#recent?.values());
    return this.#once ? { ...request, versionInfo: '', nonce: '' } : request;
  }

  /** Whether it may be given more. Those that come back and need next to nothing do not wait. */
  #mayTake(session: Session): boolean {
    if (this.#isAdmitted || session.goal === undefined) return true;
    const { freeBytes } = this.#host.admission;
    return (this.isResumed && this.#newBytes < freeBytes) || this.#ask();
  }

  #ask(): boolean {
    const answer = this.#host.admission.ask(this);
    if (answer === 'full') this.end({ code: 'unavailable', message: 'too many new streams wait' });
    else this.#isAdmitted = answer === 'go';
    return this.#isAdmitted;
  }

  /** Every message that names a node passes here, and each stream's first. */
  #identify(bytes: Uint8Array | undefined): void {
    if (bytes === undefined && this.#node !== undefined) return;
    const node = this.#carrier.caller.claim(bytes);
    if (this.#node !== undefined) return;
    this.#node = node;
    const { context, kinds, limits, ttlsMs } = this.#host;
    const { mayHaveSecrets } = this.#carrier.caller;
    const how = { mode: this.mode, onlyType: this.#onlyType, once: this.#once };
    const options = optionsFor(node, { ...how, mayHaveSecrets, limits, ttlsMs });
    this.#session = new Session(context, kinds.of(options), this);
    this.#host.identified(this, node);
  }

  /** Who may ask does not depend on a node: istioctl makes one up, whoever it is. */
  #query(request: Request): void {
    this.#carrier.caller.operate(request.node);
    this.#queries ??= new DebugQueries({
      answer: this.#host.answer,
      ready: () => this.#reply(),
      failed: (error) => this.end(endOf(error)),
    });
    this.#queries.take(request);
  }

  #reply(): void {
    if (this.isClosed || this.#blockedMs !== undefined) return;
    const framed = this.#queries?.next();
    if (framed !== undefined && !this.#carrier.write(framed, false)) {
      this.#blockedMs = this.#host.time.monotonic();
      this.#schedule();
    }
    this.#finish();
  }

  /** When something is due that nobody else will cause. */
  get #dueMs(): number {
    const { sendTimeoutMs } = this.#host;
    const lastMs = this.#lastMs ?? Number.POSITIVE_INFINITY;
    // What cannot be written need not be thought of.
    if (this.#blockedMs === undefined) return Math.min(lastMs, this.#session?.wakeAtMs ?? lastMs);
    return sendTimeoutMs === 0 ? lastMs : Math.min(lastMs, this.#blockedMs + sendTimeoutMs);
  }

  #schedule(): void {
    this.#host.alarms.set(this, this.#dueMs);
  }

  ring(nowMs: number): void {
    if (this.isClosed) return;
    if (nowMs < this.#dueMs) {
      this.#schedule();
    } else if (this.#lastMs !== undefined && nowMs >= this.#lastMs) {
      this.end(saidAll);
    } else if (this.#blockedMs === undefined) {
      this.#pump(nowMs);
    } else {
      this.#host.observer.writeTimeout(this);
      this.end({ code: 'unavailable', message: 'nothing was read for too long' });
    }
  }
}
