import type { Outstanding } from './outstanding.ts';
import type { NameList } from './subscription.ts';
import type { Targets } from './targets.ts';
import type { TypeState } from './type-state.ts';

/**
 * Route tables that the client was given and did not have, until their hosts are owed: such a table
 * is empty there, even if it says that it has its hosts.
 */
export class FreshTables {
  #names: Set<string> | undefined;

  /** Tables were sent. */
  sent({ frame, before }: Outstanding, owed: NameList | undefined): void {
    for (const { name } of frame.plan.entries) {
      if (before?.get(name) !== undefined && owed?.names.includes(name) !== true) continue;
      this.#names = (this.#names ?? new Set()).add(name);
    }
  }

  /** Their hosts are looked at next. */
  owe(hosts: TypeState, targets: Targets): void {
    if (this.#names === undefined) return;
    hosts.owe(targets.hosts.hostsOf(this.#names, hosts));
    this.#names = undefined;
  }
}
