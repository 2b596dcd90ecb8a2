/** From a resource's plan to its fragments. */
import { digestOf } from '@watershed/blob/digest.ts';
import type { Blob, Digest } from '@watershed/blob/port.ts';
import type { SharedResource } from '@watershed/model/gen/record.ts';
import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import type { Metrics } from '@watershed/runtime/metrics.ts';
import { digestBytes, digestText } from '../bytes.ts';
import type { Diagnostic, ResourceKey, ResourcePlan } from '../plan.ts';
import { GeneratorError, maxInlinedBytes } from './cache.ts';
import type { Fragment, GeneratorCache } from './cache.ts';

/** What a resource is made of, its version apart. */
export interface Content {
  readonly fragments: readonly Digest[];
  /** Bytes of the message. */
  readonly size: number;
  readonly refs: readonly string[];
  readonly aliases: readonly string[];
  readonly groups: readonly string[];
  /** The fragments' bytes, for the record; `undefined`: they are in the blob store alone. */
  readonly inlined?: readonly Uint8Array[] | undefined;
}

export interface Built {
  readonly content: Content;
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * A version covers the bytes. What else must make a client take a resource again (an assignment,
 * after its cluster changed) is the pusher's to add: it depends on what that client has.
 */
function versionOf(fragments: readonly Digest[]): Digest {
  return digestOf(fragments.join(''));
}

export function contentOf(resource: SharedResource): Content {
  const { fragments, size, refs, aliases, groups } = resource;
  return { fragments: fragments.map(digestText), size, refs, aliases, groups };
}

export function recordOf(key: ResourceKey, content: Content): SharedResource {
  return {
    typeUrl: key.typeUrl,
    name: key.name,
    variant: key.variant,
    version: digestBytes(versionOf(content.fragments)),
    fragments: content.fragments.map(digestBytes),
    size: content.size,
    refs: [...content.refs],
    aliases: [...content.aliases],
    groups: [...content.groups],
    inlined: [...(content.inlined ?? [])],
  };
}

export interface BuilderOptions {
  readonly cache: GeneratorCache;
  readonly metrics: Metrics;
  /** Bytes that a record is going to name, and that the store may not have. */
  readonly store: (blob: Blob) => void;
  /** Whether somebody looks for what is inlined in the store. */
  readonly storesInlined: () => boolean;
}

export class Builder {
  readonly #options: BuilderOptions;
  /** Counts what the generators made while one resource was built. */
  #made = { fragments: 0, bytes: 0 };
  /** Those with bytes of their own that the store was given. */
  readonly #stored = new WeakSet<Fragment>();

  constructor(options: BuilderOptions) {
    this.#options = options;
  }

  /** For the cache: a generator made these bytes. */
  made(blob: Blob, inline: boolean): void {
    this.#made.fragments++;
    this.#made.bytes += blob.bytes.length;
    if (!inline) this.#options.store(blob);
  }

  /**
   * Throws a GeneratorError: the resource keeps its last good content. `inlines`: its record may
   * have its bytes.
   */
  build(plan: ResourcePlan, inlines: boolean): Built {
    this.#made = { fragments: 0, bytes: 0 };
    const parts = plan.parts.map((job) => this.#options.cache.fragment(job));
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    const inlined = inlines && size <= maxInlinedBytes ? bytesOf(parts) : undefined;
    if (inlined === undefined || this.#options.storesInlined()) this.#store(parts);
    this.#count(plan.key.typeUrl);
    return {
      content: {
        fragments: parts.map((part) => part.digest),
        size,
        refs: plan.refs,
        aliases: plan.aliases ?? [],
        groups: plan.groups ?? [],
        inlined,
      },
      diagnostics: [...(plan.diagnostics ?? []), ...parts.flatMap((part) => part.diagnostics)],
    };
  }

  /** Generates again those parts of a plan that make any of these digests. */
  *again(plan: ResourcePlan, wanted: ReadonlySet<Digest>): IterableIterator<Digest> {
    const { cache, store } = this.#options;
    for (const job of plan.parts) {
      try {
        if (!wanted.has(cache.fragment(job).digest)) continue;
        const blob = cache.again(job);
        store(blob);
        yield blob.digest;
      } catch (error) {
        // It makes the digest no more; the failure was told when it came.
        if (!(error instanceof GeneratorError)) throw error;
      }
    }
  }

  #store(parts: readonly Fragment[]): void {
    for (const part of parts) {
      if (part.bytes === undefined || this.#stored.has(part)) continue;
      this.#stored.add(part);
      this.#options.store({ digest: part.digest, bytes: part.bytes });
    }
  }

  #count(typeUrl: string): void {
    if (this.#made.fragments === 0) return;
    const type = shortType(typeUrl);
    const { metrics } = this.#options;
    metrics.counter(watershedMetrics.encodings).with({ type }).add(this.#made.fragments);
    metrics.counter(watershedMetrics.encodedBytes).with({ type }).add(this.#made.bytes);
  }
}

/** `undefined`: not all have them. */
function bytesOf(parts: readonly Fragment[]): readonly Uint8Array[] | undefined {
  const bytes = parts.flatMap((part) => part.bytes ?? []);
  return bytes.length === parts.length ? bytes : undefined;
}

const shortTypes: Readonly<Record<string, string>> = {
  'envoy.config.cluster.v3.Cluster': 'cds',
  'envoy.config.endpoint.v3.ClusterLoadAssignment': 'eds',
  'envoy.config.listener.v3.Listener': 'lds',
  'envoy.config.route.v3.RouteConfiguration': 'rds',
  'envoy.config.route.v3.VirtualHost': 'vhds',
  'envoy.extensions.transport_sockets.tls.v3.Secret': 'sds',
};

/** The label that metrics use for a type. */
function shortType(typeUrl: string): string {
  const message = typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
  return shortTypes[message] ?? message;
}
