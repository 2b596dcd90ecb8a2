/**
 * Selectors: what of a proxy's node tells its scope. One record for all namespaces (""), and one
 * for each that differs from it.
 */
import type { Change } from '@watershed/derive/graph.ts';
import { Selectors as SelectorsRecord } from '@watershed/model/gen/record.ts';
import { partitionOf, xdsKeys } from '@watershed/model/keys.ts';
import { bytesEqual } from '../bytes.ts';
import type { ResourcesOptions } from './resources.ts';

type SelectorsOptions = Omit<ResourcesOptions, 'builder' | 'graceMs'>;

interface Entry {
  readonly namespace: string;
  readonly partition: number;
  readonly recordKey: string;
  value: SelectorsRecord | undefined;
}

const others = '';

export class SelectorTable {
  readonly #options: SelectorsOptions;
  readonly #entries = new Map<string, Entry>();
  /** Namespaces on the log that no object names any more, at least not yet. */
  readonly #left = new Set<string>();
  #dirty = true;

  constructor(options: SelectorsOptions) {
    this.#options = options;
    this.want(others);
  }

  gain(partition: number): void {
    const { published } = this.#options;
    const wanted = new Set([...this.#entries.values()].map((entry) => entry.recordKey));
    for (const key of published.keysOf(partition)) {
      if (published.get(key)?.$case === 'selectors' && !wanted.has(key)) this.#left.add(key);
    }
    this.#dirty = true;
  }

  lose(partition: number): void {
    for (const entry of this.#entries.values()) {
      if (entry.partition === partition) this.#options.diagnostics.clear(placeOf(entry));
    }
  }

  want(namespace: string): void {
    if (this.#entries.has(namespace)) return;
    const entry: Entry = {
      namespace,
      partition: partitionOf(namespace, this.#options.partitions),
      recordKey: xdsKeys.selectors(namespace),
      value: undefined,
    };
    this.#left.delete(entry.recordKey);
    this.#entries.set(namespace, entry);
    this.#options.graph.observe(this.#options.plans.selectors, namespace);
  }

  unwant(namespace: string): void {
    const entry = this.#entries.get(namespace);
    if (entry === undefined || namespace === others) return;
    this.#options.graph.unobserve(this.#options.plans.selectors, namespace);
    this.#options.diagnostics.clear(placeOf(entry));
    this.#entries.delete(namespace);
    this.#left.add(entry.recordKey);
    this.#dirty = true;
  }

  changed(change: Change<string, SelectorsRecord>): void {
    const entry = this.#entries.get(change.key);
    if (entry === undefined) return;
    const { graph, plans, blame, diagnostics, owned } = this.#options;
    if (change.failure === undefined) {
      entry.value = change.after;
      this.#dirty = true;
      diagnostics.clear(placeOf(entry));
    } else if (owned.has(entry.partition)) {
      const entries = graph.entriesOf(plans.selectors, entry.namespace);
      blame(entries, placeOf(entry), change.failure.error);
    }
  }

  /**
   * Stages what differs from the log; gives how many records are new. Before the sources are
   * synced, only what is on the log already is changed.
   */
  stage(epoch: number, synced: boolean): number {
    if (!this.#dirty) return 0;
    this.#dirty = !synced;
    const { published, owned } = this.#options;
    const common = this.#entries.get(others)?.value;
    let count = 0;
    for (const { namespace, partition, recordKey, value } of this.#entries.values()) {
      if (value === undefined || !owned.has(partition)) continue;
      if (!synced && !published.has(recordKey)) continue;
      if (namespace !== others && common !== undefined && same(value, common)) {
        if (published.remove(recordKey)) count++;
        continue;
      }
      const record = { $case: 'selectors', value } as const;
      if (published.put(partition, recordKey, record, epoch)) count++;
    }
    if (!synced) return count;
    for (const recordKey of this.#left) if (published.remove(recordKey)) count++;
    this.#left.clear();
    return count;
  }
}

function placeOf(entry: Entry): string {
  return `selectors ${entry.namespace}`;
}

function same(a: SelectorsRecord, b: SelectorsRecord): boolean {
  return bytesEqual(SelectorsRecord.encode(a).finish(), SelectorsRecord.encode(b).finish());
}
