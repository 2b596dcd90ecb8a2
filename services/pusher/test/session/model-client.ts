/**
 * A client as Envoy is one: it warms clusters, asks for the assignments and routes that it needs,
 * answers each response, and holds all its promises to the server. What goes between the two is in
 * queues, so that a scheduler can deliver it at any time.
 */
import type { Frame } from '../../src/session/frame.ts';
import type { Request } from '../../src/session/request.ts';
import { Session } from '../../src/session/session.ts';
import { NameList } from '../../src/session/subscription.ts';
import type { Entry } from '../../src/view/type-view.ts';
import { CDS, EDS, initialOf, LDS, RDS, type Content, type World } from './support.ts';

export interface ClientOptions {
  readonly mode: 'sotw' | 'delta';
  /** Whether it says which of the versions that are bad (`isBad`) it refused. Default true. */
  readonly namesCulprits?: boolean;
}

const order = [CDS, EDS, LDS, RDS];

/** A route's version is `CLUSTER@N`. */
export const clusterOf = (version: string): string => version.slice(0, version.indexOf('@'));

/** `badN`, or `CLUSTER@badN`. */
const isBad = (version: string): boolean => /(?:^|@)bad/u.test(version);

export class ModelClient {
  readonly mode: 'sotw' | 'delta';
  readonly held = new Map<string, Map<string, string>>(order.map((t) => [t, new Map()]));
  /** Clusters that wait for an assignment. */
  readonly warming = new Set<string>();
  /** What went wrong; must stay empty. */
  readonly problems: string[] = [];
  /** Responses with resources in them. */
  received = 0;
  #world: World;
  #session: Session;
  #toServer: Request[] = [];
  #toClient: Frame[] = [];
  readonly #namesCulprits: boolean;
  /** By type: names asked for; absent: the type was not asked for yet. */
  readonly #asked = new Map<string, Set<string>>();
  /** Types and names that may be sent although the client holds that very version; how often. */
  readonly #again = new Map<string, number>();
  #nonces = new Set<string>();
  readonly #lastNonce = new Map<string, string>();
  readonly #version = new Map<string, string>();
  /** Types of which all was asked for once more: what crosses that may come twice. */
  readonly #asksAll = new Set<string>();
  readonly #refused = new Set<string>();
  /** Routes that there are, and that there were. */
  #there: ReadonlySet<string> = new Set();
  #gone: ReadonlySet<string> = new Set();
  /** It has reconnected, and asks for no clusters until all are warm. */
  pausesClusters = false;
  #all: Content | undefined;
  /** A nonce that a newer one of its type replaced. */
  #stale: readonly [typeUrl: string, nonce: string] | undefined;

  constructor(world: World, options: ClientOptions) {
    this.mode = options.mode;
    this.#namesCulprits = options.namesCulprits ?? true;
    this.#world = world;
    this.#session = this.#connect();
  }

  #connect(): Session {
    const options = { mode: this.mode, mayHaveSecrets: false };
    const session = new Session(this.#world.context, options, {
      gateForced: (stage) => this.problems.push(`forced ${stage}`),
    });
    if (this.#world.view !== undefined) session.setGoal(this.#world.view);
    return session;
  }

  /**
   * The stream breaks: what was under way is lost. It goes on with `world`'s process; of `all` that
   * there is that has a part, as long as its view says so.
   */
  reconnect(world: World, all?: Content): void {
    this.#world = world;
    this.#all = all;
    this.#toServer = [];
    this.#toClient = [];
    this.#nonces = new Set();
    this.#lastNonce.clear();
    this.#stale = undefined;
    this.#refused.clear();
    this.#asksAll.clear();
    this.#session = this.#connect();
    this.pausesClusters = this.warming.size > 0;
    for (const typeUrl of order) {
      const pauses = typeUrl === CDS && this.pausesClusters;
      if (this.#asked.has(typeUrl) && !pauses) this.#ask(typeUrl, [], [], true);
    }
    // Of a part it is given its assignments first, and once more if its clusters may be new to it.
    const isPart = all !== undefined && this.mode === 'sotw';
    // What its version means is asked once, and what it has may be there again when it is answered.
    if (isPart) for (const typeUrl of [CDS, LDS]) this.#allow(typeUrl);
    if (!this.pausesClusters && !isPart) return;
    // The server cannot know which of them it waits for.
    for (const name of this.#asked.get(EDS) ?? []) this.#allow(`${EDS}|${name}`);
  }

  /** As Envoy, which asks for no clusters while it warms some. */
  #resumeClusters(): void {
    if (!this.pausesClusters || this.warming.size > 0) return;
    this.pausesClusters = false;
    this.#ask(CDS, [], [], true);
    // With a version that nobody knows, all of them may be new to it, and so may what they need.
    if (this.mode === 'delta') return;
    for (const name of this.#asked.get(EDS) ?? []) this.#allow(`${EDS}|${name}`);
  }

  /** Sends an ACK of long ago once more, as a client whose answers cross does. */
  repeat(): void {
    const [type, nonce] = this.#stale ?? [];
    if (type === undefined || nonce === undefined) return;
    const common = { typeUrl: type, nonce, error: undefined, node: undefined } as const;
    const none = new NameList([]);
    this.#toServer.push(
      this.mode === 'sotw'
        ? { ...common, mode: 'sotw', versionInfo: 'old', names: none }
        : { ...common, mode: 'delta', subscribe: none, unsubscribe: none, initial: undefined },
    );
  }

  follow(): void {
    this.#refused.clear();
    if (this.#world.view !== undefined) this.#session.setGoal(this.#world.view);
  }

  /**
   * What there is now. A route that goes and comes back comes again: state of the world has no way
   * to say that it went (rule 21).
   */
  learn(content: Content): void {
    if (this.mode === 'delta') return;
    const there = new Set(Object.keys(content[RDS] ?? {}));
    for (const name of this.#gone) if (there.has(name)) this.#allow(`${RDS}|${name}`);
    this.#gone = new Set([...this.#gone, ...this.#there].filter((name) => !there.has(name)));
    this.#there = there;
  }

  /** Starts the next type, as Envoy does one after the other. */
  start(typeUrl: string): void {
    if (this.#asked.has(typeUrl)) return;
    this.#asked.set(typeUrl, new Set());
    this.#allow(typeUrl);
    if (typeUrl === EDS || typeUrl === RDS) return;
    this.#ask(typeUrl, [], [], true);
  }

  /** Asks for all clusters and listeners once more, as no client has to (rule 34). */
  askEverything(): void {
    for (const typeUrl of [CDS, LDS]) {
      const waits = typeUrl === CDS && this.pausesClusters;
      if (this.mode === 'sotw' || waits || !this.#asked.has(typeUrl)) continue;
      this.#asksAll.add(typeUrl);
      this.#ask(typeUrl, ['*'], [], false);
    }
  }

  /** All that was under way has come. */
  rested(): void {
    this.#asksAll.clear();
  }

  /** Asks for routes, or stops. */
  wantRoutes(names: readonly string[]): void {
    this.start(RDS);
    this.#want(RDS, names);
  }

  get idle(): boolean {
    return this.#toServer.length === 0 && this.#toClient.length === 0 && !this.serverStep();
  }

  deliverRequest(): boolean {
    const request = this.#toServer.shift();
    if (request === undefined) return false;
    const violation = this.#session.request(request, this.#world.nowMs);
    if (violation !== undefined) this.problems.push(violation.message);
    return true;
  }

  /** Lets the server write one frame. */
  serverStep(): boolean {
    const frame = this.#session.next(this.#world.nowMs);
    if (frame === undefined) return false;
    this.#toClient.push(frame);
    return true;
  }

  deliverResponse(): boolean {
    const frame = this.#toClient.shift();
    if (frame === undefined) return false;
    if (frame.plan.entries.length > 0) this.received++;
    if (this.#nonces.has(frame.nonce)) this.problems.push(`nonce ${frame.nonce} again`);
    this.#nonces.add(frame.nonce);
    const { typeUrl } = frame.plan;
    const before = this.#lastNonce.get(typeUrl);
    const named = typeUrl === EDS || typeUrl === RDS;
    if (before !== undefined && (named || this.#stale === undefined)) {
      this.#stale = [typeUrl, before];
    }
    this.#lastNonce.set(typeUrl, frame.nonce);
    this.#receive(frame);
    return true;
  }

  #receive(frame: Frame): void {
    const { typeUrl, entries, removed } = frame.plan;
    const names = entries.map((entry) => entry.name);
    if (new Set(names).size !== names.length) this.problems.push('a name twice');
    const bad = entries.filter((entry) => isBad(entry.version));
    const good = entries.filter((entry) => !bad.includes(entry));
    this.#checkResends(frame);
    if (this.#namesCulprits) this.#checkRefused(typeUrl, bad);
    for (const entry of good) this.#take(typeUrl, entry);
    const gone =
      this.mode === 'delta'
        ? removed
        : typeUrl === CDS || typeUrl === LDS
          ? [...this.#held(typeUrl).keys()].filter((name) => !names.includes(name))
          : [];
    for (const name of gone) this.#drop(typeUrl, name);
    if (bad.length === 0) this.#version.set(typeUrl, frame.plan.version);
    this.#answer(typeUrl, frame.nonce, names, bad);
    this.#resumeClusters();
    if (typeUrl === CDS && this.#asked.has(EDS)) this.#want(EDS, [...this.#held(CDS).keys()]);
  }

  /** What it refused, and named, does not come again until something changes (rule 9). */
  #checkRefused(typeUrl: string, bad: readonly Entry[]): void {
    if (this.#asksAll.has(typeUrl)) return;
    for (const { name, version } of bad) {
      const key = `${typeUrl}|${name}|${version}`;
      if (this.#refused.has(key)) this.problems.push(`refused ${key} again`);
      this.#refused.add(key);
    }
  }

  #allow(key: string): void {
    this.#again.set(key, (this.#again.get(key) ?? 0) + 1);
  }

  #use(key: string): boolean {
    const count = this.#again.get(key) ?? 0;
    if (count > 1) this.#again.set(key, count - 1);
    else this.#again.delete(key);
    return count > 0;
  }

  /** The same version twice is a mistake, unless it was asked for again (rules 14, 16, 20, 27, 34). */
  #checkResends({ plan }: Frame): void {
    const { typeUrl } = plan;
    const full = this.mode === 'sotw' && (typeUrl === CDS || typeUrl === LDS);
    let news = plan.removed.length > 0;
    for (const { name, version } of plan.entries) {
      const same = this.#held(typeUrl).get(name) === version;
      const warms = typeUrl === EDS && this.warming.has(name);
      const allowed = this.#again.has(typeUrl) || this.#asksAll.has(typeUrl) || warms;
      const asked = this.#use(`${typeUrl}|${name}`) || allowed;
      news ||= !same || asked;
      if (same && !asked && !full) this.problems.push(`${name} ${version} of ${typeUrl} again`);
    }
    if (full) {
      const names = new Set(plan.entries.map((entry) => entry.name));
      news ||= [...this.#held(typeUrl).keys()].some((name) => !names.has(name));
      if (!news && !this.#again.has(typeUrl)) this.problems.push(`all of ${typeUrl} again`);
    }
    this.#again.delete(typeUrl);
  }

  #take(typeUrl: string, entry: Entry): void {
    const { name, version } = entry;
    // What was given up meanwhile is not looked at.
    const named = typeUrl === EDS || typeUrl === RDS;
    if (named && this.#asked.get(typeUrl)?.has(name) !== true) return;
    const changed = this.#held(typeUrl).get(name) !== version;
    if (typeUrl === CDS && changed) this.warming.add(name);
    if (typeUrl === EDS) this.warming.delete(name);
    if ((typeUrl === RDS || typeUrl === LDS) && changed) {
      const cluster = clusterOf(version);
      // A changed cluster that warms is still served in its old shape; a new one is not.
      if (!this.#held(CDS).has(cluster)) this.problems.push(`${name} names ${cluster}, absent`);
      else if (!this.#held(EDS).has(cluster)) this.problems.push(`${name} names ${cluster}, cold`);
    }
    this.#held(typeUrl).set(name, version);
  }

  #drop(typeUrl: string, name: string): void {
    const isThere = this.#all?.[typeUrl]?.[name] !== undefined;
    const lacks = this.#session.goal?.missing !== undefined;
    if (isThere && lacks) this.problems.push(`${name} is taken`);
    this.#held(typeUrl).delete(name);
    // Envoy waits no longer for an assignment of which it is told that there is none.
    if (typeUrl === EDS) this.warming.delete(name);
    if (typeUrl !== CDS) return;
    this.warming.delete(name);
    // State of the world has no way to take a route back; Envoy drops it with its listener.
    for (const type of this.mode === 'delta' ? [RDS, LDS] : [LDS]) {
      for (const [route, version] of this.#held(type)) {
        const problem = `${name} removed while ${route} names it`;
        if (clusterOf(version) === name) this.problems.push(problem);
      }
    }
  }

  /** What the names of a type should be now. */
  #want(typeUrl: string, names: readonly string[]): void {
    const asked = this.#asked.get(typeUrl) ?? new Set();
    const add = names.filter((name) => !asked.has(name));
    const remove = [...asked].filter((name) => !names.includes(name));
    if (add.length === 0 && remove.length === 0) return;
    this.#asked.set(typeUrl, new Set(names));
    for (const name of remove) this.#held(typeUrl).delete(name);
    for (const name of add) this.#allow(`${typeUrl}|${name}`);
    this.#ask(typeUrl, add, remove, !this.#lastNonce.has(typeUrl) && asked.size === 0);
  }

  #ask(typeUrl: string, add: readonly string[], remove: readonly string[], first: boolean): void {
    const names = [...(this.#asked.get(typeUrl) ?? [])];
    const common = { typeUrl, error: undefined, node: undefined } as const;
    if (this.mode === 'sotw') {
      const nonce = this.#lastNonce.get(typeUrl) ?? '';
      const versionInfo = this.#version.get(typeUrl) ?? '';
      if (first && versionInfo !== '') for (const name of names) this.#allow(`${typeUrl}|${name}`);
      if ((typeUrl === EDS || typeUrl === RDS) && names.length === 0 && first) return;
      this.#toServer.push({
        ...common,
        mode: 'sotw',
        nonce,
        versionInfo,
        names: new NameList(names),
      });
      return;
    }
    if (first && (typeUrl === EDS || typeUrl === RDS) && names.length === 0) return;
    const held = this.#held(typeUrl);
    const initial =
      first && held.size > 0 ? initialOf(typeUrl, Object.fromEntries(held)) : undefined;
    this.#toServer.push({
      ...common,
      mode: 'delta',
      nonce: '',
      subscribe: new NameList(first ? names : add),
      unsubscribe: new NameList(remove),
      initial,
    });
  }

  #answer(typeUrl: string, nonce: string, sent: readonly string[], bad: readonly Entry[]): void {
    const message = this.#namesCulprits
      ? bad.map((e) => `resource ${e.name}: bad`).join(', ')
      : 'no';
    const error = bad.length === 0 ? undefined : { code: 13, message };
    // A client may have dropped all of it, so the rest may come again, in parts.
    if (error !== undefined) {
      this.#allow(typeUrl);
      if (!this.#namesCulprits) for (const name of sent) this.#allow(`${typeUrl}|${name}`);
    }
    const common = { typeUrl, error, node: undefined, nonce } as const;
    if (this.mode === 'sotw') {
      const names = new NameList([...(this.#asked.get(typeUrl) ?? [])]);
      const versionInfo = this.#version.get(typeUrl) ?? '';
      this.#toServer.push({ ...common, mode: 'sotw', versionInfo, names });
    } else {
      const none = new NameList([]);
      this.#toServer.push({
        ...common,
        mode: 'delta',
        subscribe: none,
        unsubscribe: none,
        initial: undefined,
      });
    }
  }

  #held(typeUrl: string): Map<string, string> {
    const held = this.held.get(typeUrl) ?? new Map<string, string>();
    this.held.set(typeUrl, held);
    return held;
  }

  /** All that it holds, as one comparable value. */
  get state(): Record<string, Record<string, string>> {
    return Object.fromEntries(
      [...this.held].map(([typeUrl, all]) => [
        typeUrl,
        Object.fromEntries([...all].sort(([a], [b]) => (a < b ? -1 : 1))),
      ]),
    );
  }
}
