/**
 * What scopes listed before their present manifests, as far as log and blobs still tell: a manifest
 * that was replaced is read as long as it is not compacted away, and what nobody lists any more
 * stays on the log for a grace. Clients may hold it whose pusher was away when the manifest came,
 * or was another one.
 */
import type { BlobStore, Digest } from '@watershed/blob/port.ts';
import { ManifestType } from '@watershed/model/gen/record.ts';
import { xdsKeys } from '@watershed/model/keys.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { emptyView } from '../session/context.ts';
import { splitContent } from './resource-list.ts';
import { SharedEntry } from './shared-entry.ts';
import type { TypeView } from './type-view.ts';

/** Of one scope: as many as come while a proxy finds another pusher. */
const maxContents = 4;

/**
 * Other types do without: a client drops nothing else because it is absent, or has no routes to it.
 * Of listeners the names are told to clients of the collection, as these do not say what they have.
 */
const types = [resourceTypes.cluster, resourceTypes.endpoint, resourceTypes.listener];

export interface FormerSources {
  /** The content of the scope's present manifest. */
  readonly present: () => Digest | undefined;
  /** The record of a key. */
  readonly find: (key: string) => SharedEntry | undefined;
}

export class Former {
  readonly #blobs: Pick<BlobStore, 'get'>;
  /** By scope; the newest first. */
  readonly #contents = new Map<string, readonly Digest[]>();

  constructor(blobs: Pick<BlobStore, 'get'>) {
    this.#blobs = blobs;
  }

  /** A manifest with this content was replaced. */
  note(scope: string, content: Digest): void {
    const others = (this.#contents.get(scope) ?? []).filter((one) => one !== content);
    this.#contents.set(scope, [content, ...others].slice(0, maxContents));
  }

  forget(scope: string): void {
    this.#contents.delete(scope);
  }

  /**
   * What the scope has no more: clusters, and assignments, as whoever is given such a cluster and
   * has dropped it warms it. Types of which none are known are absent.
   */
  async views(scope: string, sources: FormerSources): Promise<readonly TypeView[]> {
    for (;;) {
      const noted = this.#contents.get(scope);
      if (noted === undefined) return [];
      const made = await this.#read(noted, sources);
      // Another manifest may have come meanwhile.
      if (this.#contents.get(scope) === noted) return made;
    }
  }

  async #read(noted: readonly Digest[], sources: FormerSources): Promise<readonly TypeView[]> {
    const present = sources.present();
    if (present === undefined) return [];
    const former = noted.filter((content) => content !== present);
    if (former.length === 0) return [];
    const [now, ...before] = await this.#blobs.get([present, ...former]);
    const views: TypeView[] = [];
    for (const typeUrl of types) {
      const listed = new Set(now === undefined ? [] : entriesOf(now, typeUrl, sources).keys());
      const gone = new Map<string, SharedEntry | undefined>();
      for (const content of before) {
        for (const [name, entry] of content === undefined
          ? []
          : entriesOf(content, typeUrl, sources)) {
          if (!listed.has(name) && !gone.has(name)) gone.set(name, entry);
        }
      }
      const known = [...gone.values()].filter((entry) => entry !== undefined);
      const loaded = await this.#load(known);
      if (loaded.length > 0) views.push(emptyView(typeUrl).with(loaded));
    }
    return views;
  }

  /** Copies with their bytes; without those whose bytes are gone. */
  async #load(entries: readonly SharedEntry[]): Promise<readonly SharedEntry[]> {
    const found = await this.#blobs.get(entries.flatMap((entry) => entry.digests));
    let at = 0;
    return entries.flatMap((entry) => {
      const parts = found.slice(at, (at += entry.digests.length));
      if (entry.loaded) return [entry];
      const bytes = parts.filter((part) => part !== undefined);
      if (bytes.length < parts.length) return [];
      const copy = entry.withoutBytes();
      copy.load(bytes);
      return [copy];
    });
  }
}

/** A content's resources of a type, by name; `undefined`: its record is gone. */
function entriesOf(
  content: Uint8Array,
  typeUrl: string,
  { find }: FormerSources,
): ReadonlyMap<string, SharedEntry | undefined> {
  const entries = new Map<string, SharedEntry | undefined>();
  for (const list of splitContent(content)) {
    if (list.typeUrl !== typeUrl) continue;
    const { shared, own } = ManifestType.decode(list.bytes);
    for (const { name, variant } of shared) {
      entries.set(name, find(xdsKeys.resource(typeUrl, name, variant)));
    }
    for (const record of own) entries.set(record.name, SharedEntry.of(record, ''));
  }
  return entries;
}
