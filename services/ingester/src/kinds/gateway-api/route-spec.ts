/** The HTTPRoute's own form: what its CRD (v1, standard and experimental) accepts. */
import {
  anything,
  defaulted,
  int,
  invalid,
  list,
  object,
  oneOf,
  optional,
  refine,
  required,
  text,
} from '../../decode.ts';
import type { At, Decoder, Invalid } from '../../decode.ts';
import { checkRegex } from '../common/checks.ts';
import { regexProblem } from '../common/regex.ts';
import {
  durationMs,
  group,
  groupName,
  headerName,
  headerValue,
  hostname,
  kindName,
  namespaceName,
  objectName,
  port,
  sectionName,
  unique,
} from './fields.ts';
import type { Filters, WeightedBackend } from './route-filters.ts';
import { filters, noFilters, weightedBackend } from './route-filters.ts';

export interface RouteSpec {
  readonly parentRefs: readonly ParentReference[];
  readonly hostnames: readonly string[];
  readonly rules: readonly RouteRule[];
}

export interface ParentReference {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly sectionName: string | undefined;
  readonly port: number | undefined;
}

export interface RouteRule {
  readonly name: string;
  readonly matches: readonly RouteMatch[];
  readonly filters: Filters;
  readonly backendRefs: readonly WeightedBackend[];
  readonly timeouts: Timeouts | undefined;
  readonly retry: RetrySpec | undefined;
}

export interface Timeouts {
  readonly request: number | undefined;
  readonly backendRequest: number | undefined;
}

export interface RetrySpec {
  readonly codes: readonly number[];
  readonly attempts: number | undefined;
  readonly backoff: number | undefined;
}

export interface RouteMatch {
  readonly path: ValueMatch<'Exact' | 'PathPrefix' | 'RegularExpression'>;
  readonly headers: readonly NamedValueMatch[];
  readonly queryParams: readonly NamedValueMatch[];
  readonly method: string | undefined;
}

export interface ValueMatch<T extends string> {
  readonly type: T;
  readonly value: string;
}

export interface NamedValueMatch extends ValueMatch<'Exact' | 'RegularExpression'> {
  readonly name: string;
}

const parentReference: Decoder<ParentReference> = object({
  group: defaulted(groupName, group),
  kind: defaulted(kindName, 'Gateway'),
  namespace: optional(namespaceName),
  name: required(objectName),
  sectionName: optional(sectionName),
  port: optional(port),
});

/** References to one parent all say a section or all a port, and different ones. */
const parentReferences: Decoder<readonly ParentReference[]> = refine(
  list(parentReference, { max: 32 }),
  (values, at) => {
    for (const [index, value] of values.entries()) {
      const before = values.slice(0, index).find((other) => isSameParent(value, other));
      if (before === undefined) continue;
      const sameForm =
        (before.sectionName === undefined) === (value.sectionName === undefined) &&
        (before.port === undefined) === (value.port === undefined);
      const twice = values
        .slice(0, index)
        .some(
          (other) =>
            isSameParent(value, other) &&
            other.sectionName === value.sectionName &&
            other.port === value.port,
        );
      if (twice || !sameForm) {
        const reason =
          'refers to the same parent again: each needs a sectionName or port of its own';
        return at.item(index).error(value.name, reason);
      }
    }
    return values;
  },
);

function isSameParent(a: ParentReference, b: ParentReference): boolean {
  return (
    a.group === b.group && a.kind === b.kind && a.name === b.name && a.namespace === b.namespace
  );
}

const anyPath = { type: 'PathPrefix', value: '/' } as const;
const anyRequest: RouteMatch = {
  path: anyPath,
  headers: [],
  queryParams: [],
  method: undefined,
};

const pathCharacters = /^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$/u;
const forbiddenInPath = ['//', '/./', '/../', '%2f', '%2F', '#'];

const pathMatch = refine(
  object({
    type: defaulted(oneOf('Exact', 'PathPrefix', 'RegularExpression'), 'PathPrefix'),
    value: defaulted(text({ max: 1024 }), '/'),
  }),
  ({ type, value }, at) => {
    const field = at.field('value');
    if (type === 'RegularExpression') {
      checkRegex(field, value);
      return { type, value };
    }
    if (!value.startsWith('/')) return field.error(value, 'must start with "/"');
    const found = forbiddenInPath.find((part) => value.includes(part));
    if (found !== undefined) return field.error(value, `must not contain ${JSON.stringify(found)}`);
    if (value.endsWith('/..') || value.endsWith('/.')) {
      return field.error(value, 'must not end with "/." or "/.."');
    }
    return pathCharacters.test(value)
      ? { type, value }
      : field.error(value, 'must have characters of a path only; others are written as %XX');
  },
);

function named(value: Decoder<string>): Decoder<NamedValueMatch> {
  return refine(
    object({
      type: defaulted(oneOf('Exact', 'RegularExpression'), 'Exact'),
      name: required(headerName),
      value: required(value),
    }),
    (match, at) => {
      const problem = match.type === 'RegularExpression' ? regexProblem(match.value) : undefined;
      return problem === undefined ? match : at.field('value').error(match.value, problem);
    },
  );
}

const headerMatches = unique(list(named(headerValue), { max: 16 }), ({ name }) => name, 'name');
const queryMatches = unique(
  list(named(text({ min: 1, max: 1024 })), { max: 16 }),
  ({ name }) => name,
  'name',
);

const match: Decoder<RouteMatch> = object({
  path: defaulted(pathMatch, anyPath),
  headers: defaulted(headerMatches, []),
  queryParams: defaulted(queryMatches, []),
  method: optional(
    oneOf('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'),
  ),
});

const timeouts: Decoder<Timeouts> = refine(
  object({ request: optional(durationMs), backendRequest: optional(durationMs) }),
  (value, at) => {
    const { request, backendRequest } = value;
    const tooLong =
      request !== undefined &&
      request !== 0 &&
      backendRequest !== undefined &&
      backendRequest > request;
    if (!tooLong) return value;
    return at.field('backendRequest').error(backendRequest, 'must not be longer than request');
  },
);

const retry: Decoder<RetrySpec> = object({
  codes: defaulted(list(int(400, 599), { max: 200 }), []),
  attempts: optional(int(1, 0x7f_ff_ff_ff)),
  backoff: optional(durationMs),
});

const sessionPersistence = refine(anything, (value, at) => {
  at.warn(value, 'is not supported and has no effect');
  return value;
});

const rule: Decoder<RouteRule> = refine(
  object({
    name: defaulted(sectionName, ''),
    matches: defaulted(list(match, { max: 64 }), [anyRequest]),
    filters: defaulted(filters, noFilters),
    backendRefs: defaulted(list(weightedBackend, { max: 16 }), []),
    timeouts: optional(timeouts),
    retry: optional(retry),
    sessionPersistence: optional(sessionPersistence),
  }),
  checkRule,
);

function checkRule(value: RouteRule, at: At): RouteRule | Invalid {
  const { redirect, rewrite } = value.filters;
  if (value.backendRefs.length > 0 && redirect !== undefined) {
    return at
      .field('backendRefs')
      .error(value.backendRefs, 'must not be set beside RequestRedirect');
  }
  const [only] = value.matches;
  const isPrefix = value.matches.length === 1 && only?.path.type === 'PathPrefix';
  const replaced = redirect?.path ?? rewrite?.path;
  if (replaced?.type === 'ReplacePrefixMatch' && !isPrefix) {
    const reason = 'must be exactly one, of type PathPrefix, where the prefix is replaced';
    return at.field('matches').error(value.matches, reason);
  }
  return value;
}

const maxMatches = 128;

const rules: Decoder<readonly RouteRule[]> = refine(
  list(rule, { min: 1, max: 16 }),
  (values, at) => {
    const names = values.map(({ name }) => name);
    for (const [index, name] of names.entries()) {
      if (name !== '' && names.indexOf(name) < index) {
        at.item(index).field('name').error(name, 'is the name of two rules');
        return invalid;
      }
    }
    const count = values.reduce((sum, value) => sum + value.matches.length, 0);
    return count <= maxMatches
      ? values
      : at.error(count, `must have at most ${maxMatches} matches in all`);
  },
);

const anyRule: RouteRule = {
  name: '',
  matches: [anyRequest],
  filters: noFilters,
  backendRefs: [],
  timeouts: undefined,
  retry: undefined,
};

const useDefaultGateways = refine(anything, (value, at) => {
  at.warn(value, 'is not supported and has no effect');
  return value;
});

export const routeSpec: Decoder<RouteSpec> = refine(
  object({
    parentRefs: defaulted(parentReferences, []),
    hostnames: defaulted(list(hostname, { max: 16 }), []),
    rules: defaulted(rules, [anyRule]),
    useDefaultGateways: optional(useDefaultGateways),
  }),
  ({ parentRefs, hostnames, rules: given }) => ({ parentRefs, hostnames, rules: given }),
);
