import { hashName } from '../view/trie.ts';
import type { TypeView } from '../view/type-view.ts';
import type { Frame } from './frame.ts';
import type { Cost } from './kept-names.ts';
import type { Lifetime } from './lifetime.ts';
import type { Outstanding } from './outstanding.ts';
import type { Quarantine } from './quarantine.ts';
import { Refusals } from './refusals.ts';
import { NameList, type Subscription } from './subscription.ts';
import type { TypeTraits } from './type-traits.ts';

/**
 * One type on one stream. O(1): pointers to shared views and subscriptions, and what is in flight.
 * What the client holds is `held`, restricted to `subscription`, without the names that are still
 * `owed`.
 */
export class TypeState {
  readonly traits: TypeTraits;
  subscription: Subscription;
  /** It gets what it names: a first request without names asks for nothing (rule 48). */
  onDemand = false;
  /** Some names were of the scheme `xdstp`. */
  locates = false;
  /** State of the world: any name was ever given, so silence is no wildcard any more (rule 18). */
  everNamed = false;
  /** `undefined`: nothing was sent, and nothing is known of what the client has. */
  held: TypeView | undefined;
  /** Names to answer although nothing changed (rules 16, 34, 37, 39), in lists as they came. */
  #owed: NameList[] | undefined;
  /** Of all those lists together. */
  owedCount = 0;
  #owedBytes = 0;
  /** What the client said it holds. */
  said: Cost | undefined;
  /** The next answer is due even if it is empty. */
  mustAnswer = false;
  /**
   * State of the world: the `version_info` that the client came with, until it was compared (rule
   * 14). Delta: empty, of a collection, until what the client may have of it was looked up.
   */
  resume: string | undefined;
  /** The client came with something from an earlier stream. */
  resumed = false;
  /** Full sets of state of the world: the last that it is known to have taken. */
  taken: TypeView | undefined;
  /** Nothing of it was answered on this stream. */
  begins = true;
  refusals: Refusals | undefined;
  /**
   * Clusters that were sent and need these assignments, which the client may not have asked for
   * yet.
   */
  warming: ReadonlySet<string> | undefined;
  /** `undefined`: this client is told of no TTL. */
  lifetime: Lifetime | undefined;
  outstanding: readonly Outstanding[] = none;
  lastSequence = 0;
  nonceSent = '';
  /** When, by the monotonic clock. Whole seconds: for people, and without an object for each number. */
  sentAtS = 0;
  nonceAcked = '';
  versionSent = '';
  versionAcked = '';

  constructor(traits: TypeTraits, subscription: Subscription) {
    this.traits = traits;
    this.subscription = subscription;
  }

  /**
   * Nothing that it refused is asked of it any more. Where that was taken back there is nothing to
   * be sent, and so no ACK to say that it has what it is to have.
   */
  forgive(): void {
    if (this.refusals !== undefined) this.refusals.lastError = '';
    this.nonceAcked = this.nonceSent;
    this.versionAcked = this.versionSent;
  }

  /** Whether the client asks for that name itself. */
  names(name: string): boolean {
    return this.subscription.names({ name, hash: hashName(name) });
  }

  /** To be changed. */
  get refusing(): Refusals {
    return (this.refusals ??= new Refusals());
  }

  /** The client took a response. */
  take({ nonce, plan }: Frame): void {
    this.nonceAcked = nonce;
    this.versionAcked = plan.version;
    if (plan.mode === 'sotw' && this.traits.fullSet) this.taken = plan.view;
  }

  /** Of the newer view it has all without a word: the one that it took is not kept for it. */
  skip(before: TypeView | undefined, now: TypeView): void {
    if (before !== undefined && this.taken === before) this.taken = now;
  }

  get quarantine(): Quarantine | undefined {
    return this.refusals?.quarantine;
  }

  get lastError(): string {
    return this.refusals?.lastError ?? '';
  }

  get owes(): boolean {
    return this.#owed !== undefined;
  }

  /** Something that was asked has no answer yet. */
  get isDue(): boolean {
    return this.begins || this.owes || this.mustAnswer;
  }

  /** One list of all that is owed: made when it is to be sent, and not with each request. */
  get owed(): NameList | undefined {
    const lists = this.#owed;
    if (lists !== undefined && lists.length > 1) {
      const all = new NameList([...new Set(lists.flatMap(({ names }) => names))]);
      this.#owed = [all];
      this.owedCount = all.length;
      this.#owedBytes = all.bytes;
    }
    return this.#owed?.[0];
  }

  set owed(names: NameList | undefined) {
    this.#owed = names === undefined ? undefined : [names];
    this.owedCount = names?.length ?? 0;
    this.#owedBytes = names?.bytes ?? 0;
  }

  /** Adds names to those owed. */
  owe(names: NameList): void {
    if (names.length === 0 || this.#owed?.at(-1) === names) return;
    if (this.#owed === undefined) this.#owed = [names];
    else this.#owed.push(names);
    this.owedCount += names.length;
    this.#owedBytes += names.bytes;
  }

  /** Names that its client made it keep. Those that are owed are mostly subscribed. */
  get kept(): readonly Cost[] {
    const { subscription, said } = this;
    const kept: Cost[] = subscription.bytes === 0 ? [] : [subscription];
    if (said !== undefined) kept.push(said);
    if (this.#owedBytes > subscription.bytes) kept.push(...(this.#owed ?? []));
    return kept;
  }

  /** A response was sent; of those that are not answered the newest are remembered. */
  await(sent: Outstanding, most: number): void {
    const others = this.outstanding;
    // Mostly there are none, and to put lists together costs more than all else of a push here.
    this.outstanding = others.length === 0 ? sent.alone : others.slice(1 - most).concat(sent);
  }

  /** Takes a response that was answered, and all before it: a stream is ordered. */
  settle(nonce: string): Outstanding | undefined {
    const index = this.outstanding.findIndex((one) => one.frame.nonce === nonce);
    if (index < 0) return undefined;
    const found = this.outstanding[index];
    this.outstanding =
      index + 1 === this.outstanding.length ? none : this.outstanding.slice(index + 1);
    return found;
  }
}

const none: readonly Outstanding[] = [];
