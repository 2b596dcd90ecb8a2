/**
 * A golden is one file of two YAML documents: what is given and asked, and what comes out. With
 * `UPDATE_GOLDEN=1` the second is written anew; read it before it is committed.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import type { ConfigKind } from '@watershed/model/keys.ts';
import { resourceTypes, typeUrls } from '@watershed/proto/any.ts';
import { anyToJson } from '@watershed/proto/registry.ts';
import { scopeOf, type Given, type Resource, type Snapshot, type World } from './world.ts';

type Json = Readonly<Record<string, unknown>>;

/** Fields of a ScopeClass, in JSON; what is left out is as for most. */
type ScopeFields = Parameters<typeof scopeOf>[0];

export interface Golden {
  readonly file: string;
  readonly what: string;
  readonly given: readonly Given[];
  readonly scopes: Readonly<Record<string, ScopeFields>>;
  /** Per type: names to show whole; the others are listed by name. */
  readonly show: Readonly<Record<string, readonly string[]>>;
  readonly expected: unknown;
}

const directory = join(import.meta.dirname, '..', 'golden');

export function goldens(): readonly Golden[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .map(readGolden);
}

interface Source {
  readonly what: string;
  readonly given: readonly (Json & { readonly cluster?: string })[];
  readonly scopes: Readonly<Record<string, ScopeFields>>;
  readonly show?: Readonly<Record<string, readonly string[]>>;
}

function readGolden(name: string): Golden {
  const file = join(directory, name);
  const [input, output] = parseAllDocuments(readFileSync(file, 'utf8'));
  if (input === undefined || !('toJS' in input)) throw new Error(`${name} is empty`);
  const { what, given, scopes, show = {} } = input.toJS({ maxAliasCount: 1_000 }) as Source;
  return { file, what, given: given.map(givenOf), scopes, show, expected: output?.toJS() };
}

/**
 * `service: namespace/name` and the fields of its message, with what nearly all of them say filled
 * in; `slice: namespace/host/name` for endpoints, and so for `destinations`.
 */
function givenOf({ cluster, ...rest }: Json & { readonly cluster?: string }): Given {
  const [first, ...fields] = Object.entries(rest);
  if (first === undefined) throw new Error('nothing is given');
  const [word, path] = first as [ConfigKind | 'slice' | 'workload', string];
  const kind = word === 'slice' ? 'endpoints' : word;
  const [namespace = '', ...names] = path.split('/');
  const name = names.join('/');
  const value = { ...defaults(kind, namespace, name), ...Object.fromEntries(fields) };
  return {
    kind,
    namespace,
    name,
    value,
    ...(cluster === undefined ? {} : { cluster }),
  };
}

function defaults(kind: string, namespace: string, name: string): Json {
  switch (kind) {
    case 'mesh':
      return {
        rootNamespace: 'istio-system',
        trustDomain: 'cluster.local',
        connectTimeoutMs: 10_000,
        autoMtls: true,
        proxyListenPort: 15_001,
        proxyInboundListenPort: 15_006,
      };
    case 'service':
      return { host: `${name}.${namespace}.svc.cluster.local`, namespace, name, exportTo: ['*'] };
    case 'policy':
    case 'route':
      return { exportTo: ['*'] };
    case 'workload':
      return { uid: `c1//Pod/${namespace}/${name}`, namespace, name };
    case 'destinations':
    case 'endpoints':
      return { host: name.split('/')[0], namespace };
    default:
      return {};
  }
}

const words: Readonly<Record<string, string>> = {
  [resourceTypes.cluster]: 'clusters',
  [resourceTypes.endpoint]: 'endpoints',
  [resourceTypes.listener]: 'listeners',
  [resourceTypes.route]: 'routes',
  [resourceTypes.secret]: 'secrets',
  [typeUrls.address]: 'addresses',
  [typeUrls.authorization]: 'authorizations',
};

/** What comes out, for all scopes of a golden. */
export function outcome(golden: Golden, world: World): Json {
  world.give(...golden.given);
  const all = Object.entries(golden.scopes).map(([name, fields]) => {
    const snapshot = world.look(scopeOf(fields));
    return [name, rendered(snapshot, golden.show)];
  });
  return Object.fromEntries(all) as Json;
}

function rendered(snapshot: Snapshot, show: Golden['show']): Json {
  const types: Record<string, unknown> = {};
  for (const [typeUrl, word] of Object.entries(words)) {
    const shown = show[word];
    if (shown === undefined) continue;
    const all = snapshot.resources.filter((resource) => resource.key.typeUrl === typeUrl);
    types[word] = Object.fromEntries(
      all.map((resource) => [resource.key.name, body(resource, shown)]),
    );
  }
  if (snapshot.diagnostics.length > 0) types['diagnostics'] = snapshot.diagnostics;
  return types;
}

/** Whole, or its variant alone. */
function body({ key, bytes, plan }: Resource, shown: readonly string[]): unknown {
  if (!shown.includes(key.name) && !shown.includes('*')) return key.variant;
  const json = anyToJson({ typeUrl: key.typeUrl, value: bytes }) as Json;
  const { '@type': _type, name: _name, clusterName: _clusterName, ...fields } = json;
  if (plan.aliases !== undefined) return { aliases: plan.aliases, groups: plan.groups, ...fields };
  return key.variant === '' ? fields : { variant: key.variant, ...fields };
}

export function update(golden: Golden, actual: unknown): void {
  const text = readFileSync(golden.file, 'utf8');
  const end = text.indexOf('\n---\n');
  const input = end < 0 ? text.trimEnd() : text.slice(0, end);
  writeFileSync(golden.file, `${input}\n---\n${stringify(actual, { lineWidth: 0 })}`);
}
