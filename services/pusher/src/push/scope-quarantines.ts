import type { Nack } from '@watershed/model/gen/record.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import type { Gauge } from '@watershed/runtime/metrics.ts';
import type { FeedbackWriter } from '../feedback.ts';
import type { ProxyNode } from '../node-scope.ts';
import type { SessionContext } from '../session/context.ts';
import type { SessionNack } from '../session/session-options.ts';
import { traitsOf } from '../session/type-traits.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { TypeView } from '../view/type-view.ts';
import { NackTally, quorum, type Others, type Refusal } from './nack-tally.ts';
import type { XdsStream } from './stream.ts';

export interface ScopeQuarantinesOptions {
  /** This pusher's name. */
  readonly name: string;
  readonly context: SessionContext;
  readonly feedback: FeedbackWriter;
  readonly logger: Logger;
  readonly gauge: Gauge;
  readonly streamsOf: (scope: string) => Iterable<XdsStream>;
  /** Names of other pushers that serve proxies of the scope. */
  readonly othersWith: (scope: string) => Iterable<string>;
}

/** Of one NACK, resources that are reported one by one. */
const maxReported = 16;

/**
 * What proxies refuse, told to other pushers and heard from them, and what follows for proxies that
 * were not sent it yet.
 */
export class ScopeQuarantines {
  readonly #options: ScopeQuarantinesOptions;
  readonly #tally = new NackTally();

  constructor(options: ScopeQuarantinesOptions) {
    this.#options = options;
  }

  /** A stream was given a scope: it is spared what others of its kind refused. */
  join(stream: XdsStream, scope: string): void {
    if (stream.node === undefined) return;
    stream.spare(this.#tally.of(scope, versionOf(stream.node)));
  }

  nacked(stream: XdsStream, nack: SessionNack): void {
    const { node } = stream;
    if (node === undefined) return;
    const { changed } = nack.frame.plan;
    const blamed = nack.culprits.length > 0 ? nack.culprits : changed;
    const { message } = nack.error;
    for (const { name: resource, version } of blamed.slice(0, maxReported)) {
      const common = { scope: stream.scope, typeUrl: nack.typeUrl, resource, version };
      const refusal = { ...common, proxyVersion: versionOf(node) };
      this.#report(refusal, nack.sure && stream.authenticated ? node.id : undefined, {
        proxy: node.id,
        message,
      });
    }
  }

  /** Another pusher tells, or takes back. */
  heard(pusher: string, nack: Nack, told: boolean): void {
    if (pusher === this.#options.name) return;
    const { scope, typeUrl, resource, proxyVersion, version } = nack;
    const refusal = {
      ...{ scope, typeUrl, resource, proxyVersion },
      version: Buffer.from(version).toString(),
    };
    const changed = told
      ? this.#tally.tell(pusher, refusal, nack, this.#others(refusal))
      : this.#tally.takeBack(pusher, refusal);
    if (changed) this.#apply(refusal, told);
  }

  /** What is not served any more need not be told of: it may be good when it comes again. */
  viewChanged(view: ScopeView): void {
    const { name, feedback } = this.#options;
    for (const refusal of this.#tally.toldBy(name, view.scope)) {
      if (this.#viewOf(view, refusal.typeUrl)?.get(refusal.resource)?.version === refusal.version) {
        continue;
      }
      feedback.takeBack(refusal);
      if (this.#tally.takeBack(name, refusal)) this.#apply(refusal, false);
    }
  }

  #report(
    refusal: Refusal,
    authenticated: string | undefined,
    last: { readonly proxy: string; readonly message: string },
  ): void {
    const { name, feedback } = this.#options;
    const before = this.#tally.toldOf(name, refusal);
    const proxies = new Set(before?.proxies);
    if (authenticated !== undefined && proxies.size < quorum) proxies.add(authenticated);
    const others = this.#others(refusal);
    const all = proxies.size > 0 && [...others.here].every((proxy) => proxies.has(proxy));
    // A client may refuse the same again and again.
    if (before?.proxies.size === proxies.size && before.all === all) return;
    const told = { proxies: [...proxies], all };
    const changed = this.#tally.tell(name, refusal, told, others);
    // Else there are too many.
    if (this.#tally.toldOf(name, refusal) !== undefined) {
      feedback.nack({ ...refusal, ...last, ...told });
    }
    if (changed) this.#apply(refusal, true);
  }

  #others(refusal: Refusal): Others {
    const here = new Set(this.#connected(refusal));
    return { here, pushers: this.#options.othersWith(refusal.scope) };
  }

  /** Authenticated proxies of the kind that are connected here. */
  *#connected({ scope, proxyVersion }: Refusal): Iterable<string> {
    for (const { node, authenticated } of this.#options.streamsOf(scope)) {
      if (authenticated && node !== undefined && versionOf(node) === proxyVersion) yield node.id;
    }
  }

  #apply(refusal: Refusal, begins: boolean): void {
    const { logger, gauge, streamsOf } = this.#options;
    const { scope, proxyVersion, typeUrl, resource } = refusal;
    gauge.set(this.#tally.size);
    const what = { scope, proxyVersion, type: traitsOf(typeUrl).short, resource };
    if (begins) logger.warn('a version that proxies refused is kept from the others', what);
    else logger.info('a version that proxies refused is served no more', what);
    const quarantine = this.#tally.of(scope, proxyVersion);
    for (const stream of streamsOf(scope)) {
      if (stream.node === undefined || versionOf(stream.node) !== proxyVersion) continue;
      stream.spare(quarantine);
      stream.pump();
    }
  }

  /** Versions of assignments cover their clusters. */
  #viewOf({ types }: ScopeView, typeUrl: string): TypeView | undefined {
    const view = types.get(typeUrl);
    if (view === undefined || traitsOf(typeUrl).stage !== 'assignments') return view;
    const { context } = this.#options;
    const clusters = [...types.values()].find(
      (other) => traitsOf(other.typeUrl).stage === 'clusters',
    );
    return clusters === undefined ? view : context.assignments.derive(view, clusters);
  }
}

/** The proxy's own, else the one that its agent tells. */
function versionOf({ version, istioVersion }: ProxyNode): string {
  return version === '' ? istioVersion : version;
}
