import { resourceTypes } from '@watershed/proto/any.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { SessionContext, emptyView } from '@watershed/pusher/session/context.ts';
import { FrameCache } from '@watershed/pusher/session/frame-cache.ts';
import type { Entry, TypeView } from '@watershed/pusher/view/type-view.ts';
import type { ScopeView } from '@watershed/pusher/view/scope-view.ts';
import { hashName } from '@watershed/pusher/view/trie.ts';

const message = Buffer.alloc(1_024, 'resource ');

function nameOf(index: number): string {
  return `outbound|80||service-${index}.shop.svc.cluster.local`;
}

export function namesTo(count: number): string[] {
  return Array.from({ length: count }, (_, index) => nameOf(index));
}

/** A scope of some clusters and their assignments, that changes one assignment at a time. */
export class Scope {
  readonly context = new SessionContext(
    new FrameCache({
      clock: systemTime,
      controlPlane: new Uint8Array(0),
      materialise: (entry) => entry.fragments,
      onEncoded: () => this.encodings++,
    }),
  );
  encodings = 0;
  view: ScopeView;
  readonly #types = new Map<string, TypeView>();
  #sequence = 0;

  constructor(names: readonly string[]) {
    for (const typeUrl of [resourceTypes.cluster, resourceTypes.endpoint]) {
      const entries = names.map((name) => entryOf(typeUrl, name, 'first'));
      this.#types.set(typeUrl, emptyView(typeUrl).with(entries));
    }
    this.view = this.#next();
  }

  change(typeUrl: string, name: string): ScopeView {
    const view = this.#types.get(typeUrl) ?? emptyView(typeUrl);
    this.#types.set(typeUrl, view.with([entryOf(typeUrl, name, `v${this.#sequence}`)]));
    this.view = this.#next();
    return this.view;
  }

  #next(): ScopeView {
    const sequence = ++this.#sequence;
    const types = new Map(this.#types);
    return { scope: 's', sequence, epoch: sequence, types, sinceMs: 0, trace: undefined };
  }
}

function entryOf(typeUrl: string, name: string, version: string): Entry {
  const refs = typeUrl === resourceTypes.cluster ? [name] : [];
  const fragments = [message];
  return { typeUrl, name, hash: hashName(name), version, fragments, size: message.length, refs };
}
