import type { Proxy } from './proxy.ts';
import { ballotKey, ballotOf, type Ballot, type QuarantineWorld } from './world.ts';

/** Of clusters, by name; as they come to be served. */
export type Content = Readonly<Record<string, string>>;

/** Two proxies more may be broken, or lie. */
const quorum = 3;
const isBad = (version: string): boolean => version.startsWith('bad');

/**
 * Decision 4 in a few lines: what must hold whenever a pusher says something, and what of all of
 * them once nothing happens any more.
 */
export class Rules {
  /** What went wrong; must stay empty. */
  readonly problems: string[] = [];
  readonly #world: QuarantineWorld;
  readonly #proxies: readonly Proxy[];
  /** Who refused what since it was served anew: ids by ballot. */
  readonly #refused = new Map<string, Set<string>>();
  /** Who refused what, ever, and where: `pusher|id|ballot`. */
  readonly #ever = new Set<string>();
  /** What is served, and what was before, as long as some pusher may serve that. */
  #served: readonly Content[] = [];
  /** What each pusher kept back when that was published. */
  #kept: ReadonlyMap<string, ReadonlySet<string>> = new Map();

  constructor(world: QuarantineWorld, proxies: readonly Proxy[]) {
    this.#world = world;
    this.#proxies = proxies;
    world.onTold = (pusher, nack) => {
      if (nack === undefined) return;
      const ballot = ballotKey(ballotOf(nack));
      for (const proxy of nack.proxies) {
        const id = proxy.split('~')[2]?.split('.')[0] ?? '';
        if (this.#ever.has(`${pusher}|${id}|${ballot}`)) continue;
        this.problems.push(`${pusher} tells of ${id}, which never refused ${ballot} there`);
      }
    };
  }

  get content(): Content {
    return this.#served.at(-1) ?? {};
  }

  published(content: Content): void {
    this.#served = [...this.#served, content];
    const serving = this.#world.serving.map((name) => this.#world.process(name));
    this.#kept = new Map(serving.map((one) => [one?.name ?? '', new Set(one?.verdicts)]));
  }

  /** All pushers serve what was published last: refusals of what was before are forgotten. */
  seen(): void {
    const { content } = this;
    this.#served = [content];
    for (const key of this.#refused.keys()) if (!this.#isServed(key)) this.#refused.delete(key);
  }

  #isServed(ballot: string): boolean {
    const [, , resource = '', version] = ballot.split('|');
    return this.#served.some((content) => content[resource] === version);
  }

  /** Nobody is sent what is in quarantine, but who has it already. */
  sent(proxy: Proxy, resource: string, version: string): void {
    if (proxy.sent.has(`${resource}|${version}`)) return;
    const { at, options } = proxy;
    const ballot = ballotKey(this.#ballot(proxy, resource, version));
    // Nor on the way to what replaces it.
    if (this.content[resource] !== version && this.#kept.get(at)?.has(ballot) === true) {
      this.problems.push(`${options.id} is sent ${ballot} by ${at}, though it is served no more`);
    }
    const stands = (): boolean => this.#world.process(at)?.verdicts.has(ballot) === true;
    if (!stands()) return;
    // Where several end at once, it is said of one after the other.
    this.#world.time.soon(() => {
      if (stands()) this.problems.push(`${options.id} is sent ${ballot} by ${at}`);
    });
  }

  refuses(proxy: Proxy, versions: ReadonlyMap<string, string>): void {
    // Who it is is not known.
    if (!proxy.options.traits.verified) return;
    for (const [resource, version] of versions) {
      const key = ballotKey(this.#ballot(proxy, resource, version));
      this.#ever.add(`${proxy.at}|${proxy.options.id}|${key}`);
      if (!this.#isServed(key)) continue;
      const ids = this.#refused.get(key) ?? new Set();
      this.#refused.set(key, ids.add(proxy.options.id));
    }
  }

  /** Nothing has happened for a while, and all proxies are connected. */
  rested(): void {
    const serving = this.#world.serving.flatMap((name) => this.#world.process(name) ?? []);
    const [first] = serving;
    const stands = first?.verdicts ?? new Set<string>();
    for (const { name, verdicts } of serving) {
      this.#compare(`${name} does not say what ${first?.name} says`, verdicts, stands);
    }
    this.#checkTold(stands);
    for (const ballot of stands) this.#checkStanding(ballot);
    for (const proxy of this.#proxies) this.#checkProxy(proxy, stands);
    for (const [ballot, ids] of this.#voters()) {
      if (ids.size < quorum || stands.has(ballot)) continue;
      this.problems.push(`${[...ids].join()} refuse ${ballot}, and it is in no quarantine`);
    }
  }

  /** What is told makes the quarantines, and is told by those who are there of what is served. */
  #checkTold(stands: ReadonlySet<string>): void {
    const union = new Map<string, Set<string>>();
    for (const [pusher, ballot, proxies] of this.#world.told) {
      const key = ballotKey(ballot);
      union.set(key, new Set([...(union.get(key) ?? []), ...proxies]));
      const isServed = this.content[ballot.resource] === ballot.version;
      if (isServed && this.#world.serving.includes(pusher)) continue;
      this.problems.push(`${pusher} still tells of ${key}`);
    }
    const enough = [...union].filter(([, ids]) => ids.size >= quorum).map(([key]) => key);
    this.#compare('what is told differs from what is kept', new Set(enough), stands);
  }

  #checkStanding(ballot: string): void {
    const ids = this.#refused.get(ballot) ?? new Set();
    if (ids.size >= quorum) return;
    this.problems.push(`${ballot} is in quarantine, and ${[...ids].join() || 'nobody'} refused it`);
  }

  #checkProxy(proxy: Proxy, stands: ReadonlySet<string>): void {
    // A set has to have what is bad in it, where it is not known what the client has.
    if (proxy.isResumed && proxy.refused.size > 0) return;
    for (const [resource, version] of Object.entries(this.content)) {
      const has = proxy.held.get(resource);
      const ballot = ballotKey(this.#ballot(proxy, resource, version));
      if (has === version || stands.has(ballot)) continue;
      if (isBad(version) && proxy.refused.has(`${resource}|${version}`)) continue;
      const { id } = proxy.options;
      this.problems.push(`${id} at ${proxy.at} has ${resource} ${has}, not ${version}`);
    }
    // What it took of a response that it refused without naming what, nobody knows of.
    if (!proxy.options.traits.names) return;
    for (const resource of proxy.held.keys()) {
      if (resource in this.content) continue;
      this.problems.push(`${proxy.options.id} still has ${resource}`);
    }
  }

  /** Whose vote must count: the streams that are there, where they name what they refuse. */
  #voters(): ReadonlyMap<string, ReadonlySet<string>> {
    const voters = new Map<string, Set<string>>();
    for (const proxy of this.#proxies) {
      const { id, traits } = proxy.options;
      if (!traits.verified || !traits.names) continue;
      for (const [resource, version] of Object.entries(this.content)) {
        if (!proxy.refused.has(`${resource}|${version}`)) continue;
        const key = ballotKey(this.#ballot(proxy, resource, version));
        voters.set(key, (voters.get(key) ?? new Set()).add(id));
      }
    }
    return voters;
  }

  #compare(what: string, is: ReadonlySet<string>, other: ReadonlySet<string>): void {
    const [some, others] = [is, other].map((all) => [...all].sort().join());
    if (some !== others) this.problems.push(`${what}: ${some} and ${others}`);
  }

  #ballot(proxy: Proxy, resource: string, version: string): Ballot {
    const { namespace, version: kind } = proxy.options.traits;
    return { namespace, kind, resource, version };
  }
}
