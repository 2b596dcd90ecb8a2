import { resourceTypes } from '@watershed/proto/any.ts';
import { emptyAssignment } from '../view/assignments.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { Leaf } from '../view/trie.ts';
import { TypeView, type Entry } from '../view/type-view.ts';
import type { SessionContext } from './context.ts';
import { Hosts } from './hosts.ts';
import { Lifetime, namesHeld } from './lifetime.ts';
import { liftable, type ScopeQuarantine } from './quarantine.ts';
import { freed, spared, unrefused } from './scope-quarantine.ts';
import { takesNothing } from './narrow.ts';
import { lacksSome, mayLack, missingFor, toCome } from './partial.ts';
import type { SessionOptions } from './session-options.ts';
import type { Outstanding } from './outstanding.ts';
import { NameList } from './subscription.ts';
import { withoutUnasked } from './asked.ts';
import { traitsOf, type Stage } from './type-traits.ts';
import { TypeState } from './type-state.ts';

/** Where each type of a stream is to go. */
export class Targets {
  /** The newest view of the stream's scope; without one there is no target. */
  goal: ScopeView | undefined;
  /** What other clients of the scope refused. */
  quarantine: ScopeQuarantine | undefined;
  readonly context: SessionContext;
  /**
   * In the order of first request. They are few: looking through them costs what a Map would, which
   * has twice their memory.
   */
  types: readonly TypeState[] = [];
  /** See `moveTo`. */
  #orphans: TypeView | undefined;
  readonly hosts: Hosts;
  readonly #options: SessionOptions;

  constructor(context: SessionContext, options: SessionOptions) {
    this.context = context;
    this.#options = options;
    this.hosts = new Hosts(this, options);
  }

  type(typeUrl: string): TypeState | undefined {
    for (const state of this.types) if (state.traits.typeUrl === typeUrl) return state;
    return undefined;
  }

  /** The client asks for a type for the first time. */
  begin(typeUrl: string): TypeState {
    const state = new TypeState(traitsOf(typeUrl), this.context.subscriptions.none);
    state.onDemand = state.traits.stage === 'hosts' && this.hosts.onDemand;
    const ttlMs = this.#options.ttlsMs?.get(typeUrl);
    // A full set without messages would delete all: a heartbeat cannot be told from it there.
    const mayExpire = this.#options.mode === 'delta' || !state.traits.fullSet;
    if (ttlMs !== undefined && mayExpire) state.lifetime = new Lifetime(ttlMs);
    // Not by `...`, which makes room for sixteen more.
    this.types = this.types.concat(state);
    return state;
  }

  /** What a client refused to replace still needs the clusters that it needed. */
  get keepsRoutes(): boolean {
    for (const { traits, quarantine, resumed } of this.types) {
      if (quarantine === undefined) continue;
      const { stage } = traits;
      if (stage !== 'listeners' && stage !== 'routes' && stage !== 'hosts') continue;
      // Of a client that came back it is not always known what it has.
      if (resumed || quarantine.all.some((one) => one.held !== undefined)) return true;
    }
    return false;
  }

  /** What the stream's view has of a type, without what the client refused. */
  of(state: TypeState): TypeView {
    const { goal } = this;
    const part = goal === undefined ? undefined : this.#part(state, goal);
    if (part !== undefined) return part;
    const target = this.#admitted(state);
    const missing = missingFor(state, goal);
    if (goal === undefined || missing === undefined) return target;
    return this.context.kept.of(state, target, goal, missing);
  }

  /** Without what the client refused, and what it is spared. */
  #admitted(state: TypeState): TypeView {
    const raw = this.raw(state);
    if (state.resume !== undefined) this.#resume(state, raw);
    if (this.quarantine !== undefined || state.refusals?.sparedBy !== undefined) {
      this.#spare(state, raw);
    }
    const { refusals } = state;
    if (refusals?.quarantine === undefined) return raw;
    if (refusals.checkedFor !== raw) {
      refusals.checkedFor = raw;
      const lifted = liftable(refusals.quarantine, raw);
      const names = new Set(lifted.map((one) => one.name));
      refusals.quarantine = this.context.quarantines.without(refusals.quarantine, names);
      // It is not known whether the client took these, so they are said again; what is only to be
      // taken from it would be sent with the others that it refuses, again and again.
      const goes = (name: string): boolean =>
        raw.get(name) === undefined && state.held?.get(name) !== undefined;
      const unsure = lifted.filter((one) => one.unsure && !goes(one.name)).map((one) => one.name);
      if (unsure.length > 0) state.owe(new NameList(unsure));
      const isClear = state.quarantine === undefined && !state.owes;
      if (isClear && state.outstanding.length === 0) state.forgive();
    }
    return raw.replacing(state.quarantine);
  }

  /** Whether all that the stream asks for is a few assignments, which it has as the view has them. */
  get isPart(): boolean {
    const { goal, types } = this;
    if (goal === undefined) return false;
    for (const state of types) {
      if (state.lifetime !== undefined || state.held === undefined) return false;
      if (this.#part(state, goal) !== state.held) return false;
    }
    return types.length > 0;
  }

  /**
   * What it has. Of a few assignments that is no more than it asked for: what it names anew is
   * taken from the target.
   */
  holds(state: TypeState, target: TypeView): TypeView | undefined {
    const { held, owed } = state;
    if (held === undefined || owed === undefined || this.goal === undefined) return held;
    if (this.#part(state, this.goal) !== target) return held;
    const named = owed.leaves.flatMap((leaf) => {
      const entry = held.lookup(leaf) === undefined ? target.lookup(leaf) : undefined;
      return entry === undefined ? [] : [entry];
    });
    return held.with(named);
  }

  /**
   * Of assignments, where a few are asked for and none was refused: those alone, so that the client
   * is held to be at no view of all of them. `undefined`: it takes part in the whole.
   */
  #part(state: TypeState, goal: ScopeView): TypeView | undefined {
    const { traits, subscription, held } = state;
    if (traits.stage !== 'assignments' || !subscription.isNarrow || state.locates) return undefined;
    if (state.quarantine !== undefined || this.quarantine !== undefined) return undefined;
    const view = goal.types.get(traits.typeUrl);
    // What it holds beside those may be there, which the whole tells.
    if (view?.isPlain !== true || held?.isPlain === false) return undefined;
    if (state.resume !== undefined || missingFor(state, goal) !== undefined) return undefined;
    return this.context.partOf(view, this.#clusters(goal), subscription);
  }

  /**
   * Looked at once per view and quarantine: what the client gets later is not taken from it again.
   */
  #spare(state: TypeState, raw: TypeView): void {
    const refusals = state.refusing;
    const { quarantine, context } = this;
    if (refusals.sparedFor === raw && refusals.sparedBy === quarantine) return;
    refusals.sparedFor = raw;
    refusals.sparedBy = quarantine;
    const over = freed(state, quarantine);
    refusals.quarantine = context.quarantines.without(refusals.quarantine, over);
    if (quarantine === undefined) return;
    const how = { scope: this.goal?.scope ?? '', quarantine };
    const more = spared(context, state, raw, how);
    if (more.length === 0) return;
    refusals.quarantine = context.quarantines.add(refusals.quarantine, more);
    refusals.checkedFor = undefined;
  }

  raw(state: TypeState): TypeView {
    const view = this.#plain(state);
    return state.locates ? this.context.located.of(view) : view;
  }

  #plain(state: TypeState): TypeView {
    const { typeUrl, stage } = state.traits;
    if (stage === 'hosts' && this.hosts.isServed) return this.hosts.of(state);
    const view = this.goal?.types.get(typeUrl);
    if (view === undefined || (stage === 'secrets' && !this.#options.mayHaveSecrets)) {
      return this.context.empty(typeUrl);
    }
    if (stage === 'routes' && this.hosts.areApart) return this.context.hostTables.heads(view);
    if (stage !== 'assignments') return view;
    return this.context.assignments.derive(view, this.#clusters(this.goal));
  }

  /** The clusters as this stream has been sent them; where it does not ask for any, as they are. */
  #clusters(goal: ScopeView | undefined): TypeView {
    const { cluster } = resourceTypes;
    const held = this.type(cluster)?.held;
    return held ?? goal?.types.get(cluster) ?? this.context.empty(cluster);
  }

  /**
   * The target and what the client has beyond it, which goes last. A secret goes at once: who may
   * no longer have it must not be given it again, whatever he asks or says that he holds.
   */
  make(state: TypeState): TypeView {
    const target = this.of(state);
    const { stage } = state.traits;
    // Two hosts must not have one domain, so one goes as the other comes.
    const atOnce =
      stage === 'listeners' || stage === 'hosts' || stage === 'other' || stage === 'secrets';
    if (atOnce) return target;
    const { held, subscription } = state;
    const wanted = stage === 'assignments' ? this.#withOrphans(state, target) : target;
    const isPart = takesNothing({ held, target: wanted, subscription });
    // What a client says that it has is without bytes.
    return isPart ? wanted : wanted.union(held, state.resumed);
  }

  /** Whether nothing of the type can be said before more of the view is here. */
  withholds(state: TypeState, target?: TypeView): boolean {
    if (this.goal?.missing === undefined || this.#options.mode === 'delta') return false;
    const missing = missingFor(state, this.goal);
    return missing !== undefined && lacksSome(state, target ?? this.make(state), missing);
  }

  /** The first stage of which that is so. */
  get withheld(): Stage | undefined {
    if (this.goal?.missing === undefined) return undefined;
    return this.types.find((state) => this.withholds(state))?.traits.stage;
  }

  /** Of names that are owed, those that stay so when a type was moved to `target`. */
  stillOwed(state: TypeState, target: TypeView, owed: NameList): NameList | undefined {
    const lacks = this.goal?.missing;
    if (lacks === undefined) return undefined;
    // Who came back with anything may ask for what is newer than the disk's view.
    const isNewer = lacks.isOld === true && this.types.some(({ resumed }) => resumed);
    const missing = isNewer ? lacks : missingFor(state, this.goal);
    return missing && toCome(target, owed, missing);
  }

  #withOrphans(state: TypeState, target: TypeView): TypeView {
    const orphans = this.#orphans;
    if (orphans === undefined) return target;
    const { held, subscription } = state;
    const derived = this.context.assignments.derive(orphans, this.#clusters(this.goal));
    const kept = state.locates ? this.context.located.of(derived) : derived;
    const wanted = target.union(kept);
    // What it only says that it has is still owed, and what it had before its cluster came is none.
    const owed = new Set(state.owed?.names);
    let given = true;
    kept.each((entry) => {
      const version = held?.lookup(entry)?.version;
      given &&= subscription.has(entry) && version === wanted.lookup(entry)?.version;
      given &&= !owed.has(entry.name);
    });
    if (!given) return wanted;
    this.dropOrphans();
    return target;
  }

  /**
   * Changes the goal. A client that was sent clusters asks for their assignments a little later,
   * and warms them until it has those (Envoy 15 s, and acknowledges no clusters meanwhile): it is
   * given them though the new view has neither, and an empty one where the old view had none yet.
   */
  moveTo(goal: ScopeView): void {
    const { cluster, endpoint } = resourceTypes;
    const clusters = this.type(cluster);
    const before = this.goal?.types;
    this.goal = goal;
    const old = before?.get(cluster);
    if (clusters === undefined || old === undefined) return;
    const { warming, outstanding } = clusters;
    if (warming === undefined && outstanding.length === 0) return;
    const now = goal.types.get(cluster) ?? this.context.empty(cluster);
    this.#keep(old, now, (name) => {
      const isNew = ({ frame }: Outstanding): boolean => frame.plan.needs.has(name);
      if (warming?.has(name) !== true && !outstanding.some(isNew)) return undefined;
      return before?.get(endpoint)?.get(name) ?? emptyAssignment(name);
    });
  }

  /**
   * Gives `names` to a client that may wait for them though it says that it has them. Those that
   * there are not are left for later; with `all` it is given them as they once were. If that is not
   * known, of delta it is told that they are gone, which ends Envoy's wait too (rule 42), and else
   * they are empty.
   */
  give(state: TypeState, names: NameList, all: boolean): void {
    const { endpoint } = resourceTypes;
    const target = this.of(state);
    const { held } = state;
    const isDelta = this.#options.mode === 'delta';
    // Of delta it was told already of what it does not say that it has (rule 39).
    const waits = (leaf: Leaf): boolean => !isDelta || held?.lookup(leaf) !== undefined;
    const absent = names.leaves.filter((leaf) => target.lookup(leaf) === undefined && waits(leaf));
    const lacking = missingFor(state, this.goal);
    const mayCome = ({ name }: Leaf): boolean =>
      !all || (lacking !== undefined && mayLack(lacking, endpoint, name));
    const later = new Set(absent.filter(mayCome).map(({ name }) => name));
    const missing = absent.filter(({ name }) => !later.has(name));
    const former = this.context.past.all(this.goal?.scope ?? '', endpoint);
    const gone: string[] = [];
    const kept = missing.slice(0, mostMissing).flatMap((leaf) => {
      const entry = whole(former?.lookup(leaf));
      if (entry !== undefined) return [entry];
      if (!isDelta) return [emptyAssignment(leaf.name)];
      gone.push(leaf.name);
      return [];
    });
    this.#keepAll(kept);
    state.held = held?.with([], gone);
    state.owe(names.without(later));
  }

  /** Keeps assignments, where there is one to keep, that no cluster needs any more. */
  #keep(before: TypeView, now: TypeView, find: (name: string) => Entry | undefined): void {
    const kept: Entry[] = [];
    TypeView.diffReferrers(before, now, (name, _before, after) => {
      const entry = after === undefined ? find(name) : undefined;
      if (entry !== undefined) kept.push(entry);
    });
    this.#keepAll(kept);
  }

  #keepAll(kept: readonly Entry[]): void {
    if (kept.length === 0) return;
    this.#orphans = (this.#orphans ?? this.context.empty(resourceTypes.endpoint)).with(kept);
  }

  /** Whether the client has asked for all assignments that the clusters it was sent need. */
  feeds(warming: ReadonlySet<string>, assignments: TypeState): boolean {
    if (this.#orphans !== undefined) return false;
    return this.context.covers(warming, assignments.subscription, this.raw(assignments));
  }

  /** They go with all that goes, or were given to the client, which holds them now. */
  dropOrphans(): void {
    this.#orphans = undefined;
  }

  /**
   * A state-of-the-world client came with a version of all that it holds (rule 14), or one of delta
   * with a collection, of which Envoy never says what it holds, or with what it does not name (rule
   * 42).
   */
  #resume(state: TypeState, target: TypeView): void {
    const version = state.resume ?? '';
    const { typeUrl } = state.traits;
    const { cluster } = resourceTypes;
    const scope = this.goal?.scope ?? '';
    const missing = this.goal?.missing;
    const isSaid = missing === undefined || !mayLack(missing, typeUrl);
    if (this.#options.mode === 'delta') {
      // That it is gone is told once it is known.
      if (!isSaid) return;
      state.resume = undefined;
      const { held, subscription } = state;
      if (state.resumed && held !== undefined) {
        state.held = withoutUnasked(held, target, subscription);
        return;
      }
      const gone = this.context.located.gone(this.context.past.all(scope, typeUrl), target);
      state.held = gone === undefined ? held : (held?.union(gone, true) ?? gone);
      return;
    }
    if (!state.subscription.wildcard) {
      state.resume = undefined;
      // That there is nothing of what it named is news (rule 20), and what it is spared is none.
      state.mustAnswer = this.quarantine === undefined;
      return;
    }
    const held = version === target.digest ? target : this.context.recall(scope, typeUrl, version);
    if (held === undefined && !isSaid) return;
    state.resume = undefined;
    // Else it is sent all, in a way that takes nothing away that it may still have routes to.
    const { context, quarantine } = this;
    state.held = held ?? unrefused(context, context.past.all(scope, typeUrl), quarantine);
    state.taken = held;
    state.mustAnswer = held === undefined;
    if (held === undefined && typeUrl === cluster) this.#adopt(state.held, target, scope);
  }

  /** What of those clusters the client has dropped meanwhile it warms, and asks for as for new ones. */
  #adopt(clusters: TypeView | undefined, target: TypeView, scope: string): void {
    const former = this.context.past.all(scope, resourceTypes.endpoint);
    if (clusters === undefined || former === undefined) return;
    this.#keep(clusters, target, (name) => whole(former.get(name)));
  }
}

/** Of a client that comes back, assignments that are made up for it: so many it does not warm. */
const mostMissing = 1_000;

/** Whether it takes a secret away: who may have it no longer is told so, answer or not. */
export function revokes({ traits, held, subscription }: TypeState, target: TypeView): boolean {
  if (traits.stage !== 'secrets' || held === undefined || held === target) return false;
  return namesHeld(held, subscription).leaves.some((leaf) => !target.serves(leaf));
}

/** Of what a scope once had, the bytes may be gone. */
function whole(entry: Entry | undefined): Entry | undefined {
  return entry?.fragments === undefined ? undefined : entry;
}
