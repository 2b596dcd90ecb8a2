import { resourceTypes } from '@watershed/proto/any.ts';

/** Where in the order of a push a type stands (rules 28–30). */
export type Stage =
  | 'secrets'
  | 'clusters'
  | 'assignments'
  | 'listeners'
  | 'routes'
  | 'hosts'
  | 'other';

/** In their order. */
export const stages = {
  first: ['secrets', 'clusters', 'assignments', 'other'],
  routing: ['listeners', 'routes', 'hosts'],
  removals: ['routes', 'clusters', 'assignments'],
} as const;

/** What the protocol says of one type of resource. */
export interface TypeTraits {
  readonly typeUrl: string;
  /** Envoy's abbreviation, for metrics and debug pages. */
  readonly short: string;
  readonly stage: Stage;
  /** State of the world: each response is the full set, an absent resource is deleted (rule 20). */
  readonly fullSet: boolean;
  /**
   * State of the world: a first request without names means all (rule 17). Delta: always so (rule
   * 38).
   */
  readonly wildcardBySilence: boolean;
}

function row(
  typeUrl: string,
  short: string,
  stage: Stage,
  flags: { readonly fullSet?: boolean; readonly wildcardBySilence?: boolean } = {},
): readonly [string, TypeTraits] {
  const { fullSet = false, wildcardBySilence = false } = flags;
  return [typeUrl, { typeUrl, short, stage, fullSet, wildcardBySilence }];
}

const table: ReadonlyMap<string, TypeTraits> = new Map([
  row(resourceTypes.secret, 'SDS', 'secrets'),
  row(resourceTypes.cluster, 'CDS', 'clusters', { fullSet: true, wildcardBySilence: true }),
  row(resourceTypes.endpoint, 'EDS', 'assignments'),
  row(resourceTypes.listener, 'LDS', 'listeners', { fullSet: true, wildcardBySilence: true }),
  row(resourceTypes.route, 'RDS', 'routes'),
  row(resourceTypes.virtualHost, 'VHDS', 'hosts'),
  row(resourceTypes.extensionConfig, 'ECDS', 'other'),
  row(resourceTypes.runtime, 'RTDS', 'other'),
]);

/** The types of the protocol. */
export const protocolTypes: ReadonlySet<string> = new Set(table.keys());

/** By `short`, as `EDS`. */
export function typeByShort(short: string): string | undefined {
  for (const traits of table.values()) if (traits.short === short) return traits.typeUrl;
  return undefined;
}

/** Types of which each response of state of the world is the full set. */
export const fullSets: readonly string[] = [...table.values()]
  .filter(({ fullSet }) => fullSet)
  .map(({ typeUrl }) => typeUrl);

/** The traits of any type: one that Envoy does not know is unordered and full by silence. */
export function traitsOf(typeUrl: string): TypeTraits {
  return (
    table.get(typeUrl) ?? {
      typeUrl,
      short: typeUrl.slice(typeUrl.lastIndexOf('.') + 1),
      stage: 'other',
      fullSet: false,
      wildcardBySilence: true,
    }
  );
}
