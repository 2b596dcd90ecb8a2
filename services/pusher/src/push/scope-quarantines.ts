import type { Nack } from '@watershed/model/gen/record.ts';
import type { Clock } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import type { FeedbackWriter } from '../feedback.ts';
import type { PusherMetrics } from '../metrics.ts';
import type { ProxyNode } from '../node-scope.ts';
import type { SessionContext } from '../session/context.ts';
import type { SessionNack } from '../session/session-options.ts';
import { traitsOf } from '../session/type-traits.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { Scopes } from '../view/scopes.ts';
import { NackTally, quorum, type Refusal } from './nack-tally.ts';
import { servedBy } from './served.ts';
import type { XdsStream } from './stream.ts';

export interface ScopeQuarantinesOptions {
  /** This pusher's name. */
  readonly name: string;
  readonly context: SessionContext;
  readonly time: Clock;
  readonly feedback: FeedbackWriter;
  readonly logger: Logger;
  readonly metrics: Pick<PusherMetrics, 'quarantined'>;
  readonly streamsOf: (scope: string) => Iterable<XdsStream>;
  readonly scopes: Pick<Scopes, 'view'>;
}

/** What a stream refused: its proxy's vote, while it is there. */
interface Vote {
  readonly version: string;
  readonly message: string;
}

/** Of one NACK, resources that are reported one by one. */
const maxReported = 16;
/** A pusher may be silent for so long after it was no member any more. */
const goneMs = 30_000;

/**
 * What proxies refuse, told to other pushers and heard from them, and what follows for proxies that
 * were not sent it yet.
 */
export class ScopeQuarantines {
  readonly #options: ScopeQuarantinesOptions;
  readonly #tally = new NackTally();
  /** By resource, newest. */
  readonly #votes = new WeakMap<XdsStream, Map<string, Vote>>();
  /** Pushers that are no members any more and told of refusals: since when. */
  #missing: ReadonlyMap<string, number> = new Map();

  constructor(options: ScopeQuarantinesOptions) {
    this.#options = options;
  }

  /** A stream was given a scope: it is spared what others of its kind refused. */
  join(stream: XdsStream, scope: string): void {
    if (stream.node === undefined) return;
    stream.spare(this.#tally.of(scope, versionOf(stream.node)));
  }

  /**
   * A stream is its scope's no more. What it refused may have been a matter of that moment, so its
   * vote goes with it; unless they were enough: nobody is left then who could vote again.
   */
  leave(stream: XdsStream): void {
    if (!this.#votes.delete(stream)) return;
    for (const refusal of this.#tally.toldBy(this.#options.name)) {
      if (refusal.scope === stream.scope) this.#recount(refusal);
    }
  }

  nacked(stream: XdsStream, nack: SessionNack): void {
    const { node, scope } = stream;
    if (node === undefined || !stream.authenticated || !nack.sure) return;
    const { changed } = nack.frame.plan;
    const blamed = nack.culprits.length > 0 ? nack.culprits : changed;
    const { typeUrl, error } = nack;
    const { context, scopes } = this.#options;
    const view = scopes.view(scope);
    if (view === undefined) return;
    const isServed = servedBy(context, view);
    for (const { name: resource, version } of blamed.slice(0, maxReported)) {
      const refusal = { scope, typeUrl, resource, proxyVersion: versionOf(node), version };
      // A slow proxy answers what others have been sent the next of: nobody would take that back.
      if (!isServed(refusal)) continue;
      const votes = this.#votes.get(stream) ?? new Map<string, Vote>();
      this.#votes.set(stream, votes);
      votes.set(keyOf(refusal), { version, message: error.message });
      const before = this.#tally.toldOf(this.#options.name, refusal);
      // A client may refuse the same again and again.
      if (before?.has(node.id) === true || (before?.size ?? 0) >= quorum) continue;
      const proxies = [...(before ?? []), node.id];
      this.#tell(refusal, proxies, { proxy: node.id, message: error.message });
    }
  }

  /** A pusher tells, or takes back. */
  heard(pusher: string, nack: Nack, told: boolean): void {
    const { scope, typeUrl, resource, proxyVersion, version } = nack;
    const refusal = {
      ...{ scope, typeUrl, resource, proxyVersion },
      version: Buffer.from(version).toString(),
    };
    if (pusher === this.#options.name) this.#heardOwn(refusal, nack, told);
    else if (!told) this.#takenBack(pusher, refusal);
    else if (this.#tally.tell(pusher, refusal, nack.proxies)) this.#apply(refusal);
  }

  /**
   * Which pushers there are. What others told is taken back for them once they are gone for a
   * while: who is back sees that, and tells again.
   */
  members(names: ReadonlySet<string>): void {
    const { name, time } = this.#options;
    // Who does not hear itself knows nothing of the others.
    const isCertain = names.has(name);
    const nowMs = time.monotonic();
    const missing = new Map<string, number>();
    for (const pusher of isCertain ? this.#tally.pushers : []) {
      if (names.has(pusher)) continue;
      const sinceMs = this.#missing.get(pusher) ?? nowMs;
      if (nowMs - sinceMs < goneMs) missing.set(pusher, sinceMs);
      else this.#takeBackAll(pusher);
    }
    this.#missing = missing;
    for (const refusal of this.#tally.lapse(nowMs)) this.#apply(refusal);
  }

  /** What is not served any more need not be told of: it may be good when it comes again. */
  viewChanged(view: ScopeView): void {
    const isServed = servedBy(this.#options.context, view);
    this.#forget(view.scope, (refusal) => !isServed(refusal));
    for (const refusal of this.#tally.untold) {
      if (refusal.scope === view.scope && !isServed(refusal)) this.#end(refusal);
    }
  }

  /** Nobody uses the scope here: what becomes of it is not seen any more. */
  ended(scope: string): void {
    this.#forget(scope, () => true);
  }

  /** Votes too: a stream that is there may take it next time. */
  #forget(scope: string, isOver: (refusal: Refusal) => boolean): void {
    const { name, streamsOf } = this.#options;
    for (const refusal of this.#tally.toldBy(name)) {
      if (refusal.scope !== scope || !isOver(refusal)) continue;
      for (const stream of streamsOf(scope)) {
        const votes = this.#votes.get(stream);
        if (votes?.get(keyOf(refusal))?.version === refusal.version) votes.delete(keyOf(refusal));
      }
      this.#takeBack(name, refusal);
      this.#end(refusal);
    }
  }

  /** Its proxies go elsewhere, and vote there. */
  stop(): void {
    this.#takeBackAll(this.#options.name);
  }

  /**
   * What is told of by this pusher's name and not by it is of a process before it; and what it
   * tells of may have been taken back for it, or something older come to the log behind it.
   */
  #heardOwn(refusal: Refusal, nack: Nack, told: boolean): void {
    const { name, feedback } = this.#options;
    const proxies = this.#tally.toldOf(name, refusal);
    if (proxies === undefined) {
      const isOld = !this.#tally.toldBy(name).some((own) => isSameKey(own, refusal));
      if (told && isOld) feedback.takeBack(name, refusal);
    } else if (!told || !isSameSet(proxies, nack.proxies)) {
      const { proxy, message } = nack;
      feedback.nack({ ...refusal, proxy, message, proxies: [...proxies] });
    }
  }

  /** By streams that are there. */
  #recount(refusal: Refusal): void {
    if (this.#tally.isQuarantined(refusal)) return;
    const { name, streamsOf } = this.#options;
    const said = new Map<string, string>();
    for (const stream of streamsOf(refusal.scope)) {
      const vote = this.#votes.get(stream)?.get(keyOf(refusal));
      if (vote?.version !== refusal.version || stream.node === undefined) continue;
      said.set(stream.node.id, vote.message);
    }
    const last = [...said].at(-1);
    if (last === undefined) return this.#takeBack(name, refusal);
    const [proxy, message] = last;
    this.#tell(refusal, [...said.keys()], { proxy, message });
  }

  #tell(
    refusal: Refusal,
    proxies: readonly string[],
    last: { readonly proxy: string; readonly message: string },
  ): void {
    const { name, feedback } = this.#options;
    const changed = this.#tally.tell(name, refusal, proxies);
    const told = this.#tally.toldOf(name, refusal);
    // Else there are too many.
    if (told !== undefined) feedback.nack({ ...refusal, ...last, proxies: [...told] });
    if (changed) this.#apply(refusal);
  }

  #takeBack(pusher: string, refusal: Refusal): void {
    this.#options.feedback.takeBack(pusher, refusal);
    this.#takenBack(pusher, refusal);
  }

  /** Where this pusher serves the version still, what replaces that is most likely on its way. */
  #takenBack(pusher: string, refusal: Refusal): void {
    this.#tally.takeBack(pusher, refusal);
    const { context, scopes } = this.#options;
    const view = scopes.view(refusal.scope);
    if (view === undefined || !servedBy(context, view)(refusal)) this.#end(refusal);
  }

  /** Ends a quarantine that nobody tells of. */
  #end(refusal: Refusal): void {
    if (this.#tally.end(refusal)) this.#apply(refusal);
  }

  #takeBackAll(pusher: string): void {
    for (const refusal of this.#tally.toldBy(pusher)) this.#takeBack(pusher, refusal);
  }

  #apply(refusal: Refusal): void {
    const { context, logger, metrics, streamsOf } = this.#options;
    const { scope, proxyVersion, typeUrl, resource, version } = refusal;
    metrics.quarantined.set(this.#tally.size);
    const what = { scope, proxyVersion, type: traitsOf(typeUrl).short, resource, version };
    if (this.#tally.isQuarantined(refusal)) {
      context.past.refuse(scope, typeUrl, resource, version);
      logger.warn('a version that proxies refused is kept from the others', what);
    } else logger.info('a version that proxies refused is kept from the others no more', what);
    const quarantine = this.#tally.of(scope, proxyVersion);
    for (const stream of streamsOf(scope)) {
      if (stream.node === undefined || versionOf(stream.node) !== proxyVersion) continue;
      stream.spare(quarantine);
      // Where it ends because the version is served no more, an older view still has that.
      stream.follow(scope, stream.newest());
    }
    // The votes of those that left were kept as long as they were enough.
    if (this.#tally.toldOf(this.#options.name, refusal) !== undefined) this.#recount(refusal);
  }
}

/** The proxy's own, else the one that its agent tells. */
function versionOf({ version, istioVersion }: ProxyNode): string {
  return version === '' ? istioVersion : version;
}

/** Of what there is one record, whatever its version. */
function keyOf({ typeUrl, proxyVersion, resource }: Refusal): string {
  return `${typeUrl}|${proxyVersion}|${resource}`;
}

function isSameKey(a: Refusal, b: Refusal): boolean {
  return a.scope === b.scope && keyOf(a) === keyOf(b);
}

function isSameSet(set: ReadonlySet<string>, list: readonly string[]): boolean {
  return set.size === list.length && list.every((one) => set.has(one));
}
