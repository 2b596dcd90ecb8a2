import { resourceTypes } from '@watershed/proto/any.ts';
import { allOf, tableOf } from '../view/host-tables.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { TypeView } from '../view/type-view.ts';
import type { SessionContext } from './context.ts';
import type { SessionOptions } from './session-options.ts';
import { NameList } from './subscription.ts';
import type { TypeState } from './type-state.ts';

/** Of a stream. */
interface Place {
  readonly context: SessionContext;
  readonly goal: ScopeView | undefined;
  readonly type: (typeUrl: string) => TypeState | undefined;
}

/** Where virtual hosts of a stream are to go, if it is sent them apart from their tables. */
export class Hosts {
  readonly #place: Place;
  readonly #options: SessionOptions;

  constructor(place: Place, options: SessionOptions) {
    this.#place = place;
    this.#options = options;
  }

  /** Tables go without their hosts. */
  get areApart(): boolean {
    return this.#options.mode === 'delta' && this.#options.hostsApart === true;
  }

  /** Its client has the tables by other streams, and opened this one for their hosts (rule 25). */
  get #areAlone(): boolean {
    return this.#options.onlyType === resourceTypes.virtualHost;
  }

  get isServed(): boolean {
    return this.areApart || this.#areAlone;
  }

  /** The client names those that it wants. */
  get onDemand(): boolean {
    return this.#options.hostsOnDemand === true && !this.#areAlone;
  }

  get #tables(): TypeView | undefined {
    return this.#place.goal?.types.get(resourceTypes.route);
  }

  /**
   * The hosts of the tables that the client has: others it would take and forget. Which it has is
   * not known of a stream of hosts alone, so there it is those of all.
   */
  of(state: TypeState): TypeView {
    const { context } = this.#place;
    const { hostTables, subscriptions } = context;
    const { route, virtualHost } = resourceTypes;
    const view = this.#tables;
    const every = { held: view, subscription: subscriptions.all() };
    const tables = this.#areAlone ? every : this.#place.type(route);
    if (view === undefined || tables?.held === undefined) return context.empty(virtualHost);
    const { held, subscription } = tables;
    const names = context.tablesOf(held, subscription);
    if (!state.onDemand) return hostTables.hosts(view, names);
    const all = [...names].map(allOf).filter((name) => !state.names(name));
    state.subscription = subscriptions.add(state.subscription, new NameList(all));
    return hostTables.hosts(view, names, true);
  }

  /** The hosts of tables that the client was just given, to be sent whatever it says it has. */
  hostsOf(tables: Iterable<string>, state: TypeState): NameList {
    if (state.onDemand) return this.#hostsNamed(new Set(tables), state);
    const { hostTables } = this.#place.context;
    const names = [...tables].flatMap((name) => hostTables.hostNames(this.#tables?.get(name)));
    return new NameList(names);
  }

  /**
   * Of those tables, what the client has asked for. It waits for a first host of each (15 s), so
   * one is named that there is not (envoyproxy/envoy#23095), and that no request can be for: it
   * would be held for ever.
   */
  #hostsNamed(tables: ReadonlySet<string>, state: TypeState): NameList {
    const { hostTables, subscriptions } = this.#place.context;
    const none = new NameList([...tables].map((table) => `${table}/<none>`));
    state.subscription = subscriptions.add(state.subscription, none);
    const names: string[] = [];
    state.subscription.eachName(({ name }) => {
      const table = tableOf(name);
      if (!tables.has(table)) return;
      if (name !== allOf(table) || hostTables.isWild(this.#tables?.get(table))) names.push(name);
    });
    return new NameList(names);
  }
}
