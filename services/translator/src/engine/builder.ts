/** From a resource's plan to its fragments. */
import { digestOf } from '@watershed/blob/digest.ts';
import type { Digest } from '@watershed/blob/port.ts';
import type { SharedResource } from '@watershed/model/gen/record.ts';
import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import type { Metrics } from '@watershed/runtime/metrics.ts';
import { digestBytes, digestText } from '../bytes.ts';
import type { Diagnostic, ResourceKey, ResourcePlan } from '../plan.ts';
import type { GeneratorCache } from './cache.ts';

/** What a resource is made of, its version apart. */
export interface Content {
  readonly fragments: readonly Digest[];
  /** Bytes of the message. */
  readonly size: number;
  readonly refs: readonly string[];
  readonly aliases: readonly string[];
  readonly groups: readonly string[];
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
  };
}

export class Builder {
  readonly #cache: GeneratorCache;
  readonly #metrics: Metrics;
  /** Counts what the generators made while one resource was built. */
  #made = { fragments: 0, bytes: 0 };

  constructor(cache: GeneratorCache, metrics: Metrics) {
    this.#cache = cache;
    this.#metrics = metrics;
  }

  /** For the cache: a generator made these bytes. */
  made(bytes: Uint8Array): void {
    this.#made.fragments++;
    this.#made.bytes += bytes.length;
  }

  /** Throws a GeneratorError: the resource keeps its last good content. */
  build(plan: ResourcePlan): Built {
    this.#made = { fragments: 0, bytes: 0 };
    const parts = plan.parts.map((job) => this.#cache.fragment(job));
    this.#count(plan.key.typeUrl);
    return {
      content: {
        fragments: parts.map((part) => part.digest),
        size: parts.reduce((sum, part) => sum + part.size, 0),
        refs: plan.refs,
        aliases: plan.aliases ?? [],
        groups: plan.groups ?? [],
      },
      diagnostics: [...(plan.diagnostics ?? []), ...parts.flatMap((part) => part.diagnostics)],
    };
  }

  /** Generates again those parts of a plan that made any of these digests. */
  again(plan: ResourcePlan, wanted: ReadonlySet<Digest>): readonly Digest[] {
    return plan.parts
      .filter((job) => wanted.has(this.#cache.fragment(job).digest))
      .map((job) => this.#cache.again(job).digest);
  }

  #count(typeUrl: string): void {
    if (this.#made.fragments === 0) return;
    const type = shortType(typeUrl);
    this.#metrics.counter(watershedMetrics.encodings).with({ type }).add(this.#made.fragments);
    this.#metrics.counter(watershedMetrics.encodedBytes).with({ type }).add(this.#made.bytes);
  }
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
