/** From a scope's plan to its manifest. */
import type {
  ManifestContent,
  ManifestType,
  SharedRef,
  SharedResource,
} from '@watershed/model/gen/record.ts';
import type { Diagnostic, ManifestPlan, ManifestTypePlan } from '../plan.ts';
import { resourceId } from '../plan.ts';
import { contentOf, recordOf } from './builder.ts';
import type { Builder, Content } from './builder.ts';
import { GeneratorError } from './cache.ts';
import type { Resources } from './resources.ts';

/** The contents of what scopes have of their own, by resource id. */
export type Own = ReadonlyMap<string, Content>;

export interface BuiltManifest {
  readonly content: ManifestContent;
  readonly own: Own;
  readonly diagnostics: readonly Diagnostic[];
  /** Of generators; their resources are the last good ones, where there were any. */
  readonly errors: readonly GeneratorError[];
  /** Shared resources that do not exist yet were left out, or may be listed. */
  readonly waits: boolean;
  /** Own resources that failed, and of which no last good one is known, were left out. */
  readonly lacks: boolean;
}

/** A plan names a resource twice: no client would take it. */
export class DuplicateNameError extends Error {
  constructor(typeUrl: string, name: string) {
    super(`the manifest lists ${typeUrl} ${JSON.stringify(name)} twice`);
    this.name = 'DuplicateNameError';
  }
}

/** Throws a DuplicateNameError. */
export function buildManifest(
  plan: ManifestPlan,
  last: Own,
  builder: Builder,
  resources: Resources,
): BuiltManifest {
  const own = new Map<string, Content>();
  const diagnostics: Diagnostic[] = [...(plan.diagnostics ?? [])];
  const errors: GeneratorError[] = [];
  let lacks = false;
  for (const resource of plan.types.flatMap((type) => type.own)) {
    const id = resourceId(resource.key);
    let content: Content | undefined;
    try {
      const built = builder.build(resource, false);
      diagnostics.push(...built.diagnostics);
      content = built.content;
    } catch (error) {
      if (!(error instanceof GeneratorError)) throw error;
      errors.push(error);
      content = last.get(id);
      lacks ||= content === undefined;
    }
    if (content !== undefined) own.set(id, content);
  }
  const listing = plan.types.filter(({ typeUrl }) => !resources.isWhole(typeUrl));
  const typeUrls = new Set(plan.types.map(({ typeUrl }) => typeUrl));
  const whole = [...typeUrls].filter((typeUrl) => resources.isWhole(typeUrl));
  const types = [
    ...listing.map((type) => buildType(type, own, resources)),
    ...whole.map((typeUrl) => ({ typeUrl, shared: [], own: [], whole: true })),
  ];
  types.sort((a, b) => compare(a.typeUrl, b.typeUrl));
  const listed = listing.reduce((sum, type) => sum + type.shared.length, 0);
  const lists = types.reduce((sum, type) => sum + type.shared.length, 0);
  const waits = lists < listed || resources.hasComing;
  return { content: { types }, own, diagnostics, errors, waits, lacks };
}

function buildType(type: ManifestTypePlan, own: Own, resources: Resources): ManifestType {
  const { typeUrl } = type;
  const ownNames = ownNamesOf(type);
  const shared: SharedRef[] = [];
  let last: string | undefined;
  for (const key of type.shared.toSorted(byName)) {
    const { name, variant } = key;
    if (name === last || ownNames.has(name)) throw new DuplicateNameError(typeUrl, name);
    last = name;
    if (resources.available(key)) shared.push({ name, variant });
  }
  const records: SharedResource[] = [];
  for (const { key } of type.own) {
    const content = own.get(resourceId(key));
    if (content !== undefined) records.push(recordOf(key, content));
  }
  return { typeUrl, shared, own: records.sort(byName), whole: false };
}

/** What the scope had of its own, as an earlier manifest says. */
export function ownOf(content: ManifestContent): Own {
  const records = content.types.flatMap((type) => type.own);
  return new Map(records.map((record) => [resourceId(record), contentOf(record)]));
}

function ownNamesOf({ typeUrl, own }: ManifestTypePlan): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { key } of own) {
    if (names.has(key.name)) throw new DuplicateNameError(typeUrl, key.name);
    names.add(key.name);
  }
  return names;
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return compare(a.name, b.name);
}

/** By UTF-16 code units, as everywhere: not by locale. */
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
