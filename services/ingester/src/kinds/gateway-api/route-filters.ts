/** Filters of HTTPRoutes, as their CRD accepts them. */
import {
  anything,
  bool,
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
import { headerValueProblem } from '../common/format.ts';
import { controlProblem } from '../common/headers.ts';
import {
  groupName,
  headerName,
  headerValue,
  kindName,
  namespaceName,
  objectName,
  port,
  preciseHostname,
  unique,
} from './fields.ts';
import type { ObjectReference } from './fields.ts';

export interface BackendReference extends ObjectReference {
  readonly port: number | undefined;
}

const backendFields = {
  group: defaulted(groupName, ''),
  kind: defaulted(kindName, 'Service'),
  name: required(objectName),
  namespace: optional(namespaceName),
  port: optional(port),
};

/** Services are of a port. */
function checkBackendPort<T extends BackendReference>(value: T, at: At): T | Invalid {
  const isService = value.group === '' && value.kind === 'Service';
  if (!isService || value.port !== undefined) return value;
  return at.field('port').error(undefined, 'is required for a Service');
}

const backendReference: Decoder<BackendReference> = refine(object(backendFields), checkBackendPort);

export interface Header {
  readonly name: string;
  readonly value: string;
}

export interface HeaderModifier {
  readonly set: readonly Header[];
  readonly add: readonly Header[];
  readonly remove: readonly string[];
}

const header: Decoder<Header> = object({
  name: required(headerName),
  value: required(
    refine(headerValue, (value, at) => {
      const problem = headerValueProblem(value);
      return problem === undefined ? value : at.error(value, problem);
    }),
  ),
});

const headers = unique(list(header, { max: 16 }), ({ name }) => name, 'name');

const headerModifier: Decoder<HeaderModifier> = object({
  set: defaulted(headers, []),
  add: defaulted(headers, []),
  remove: defaulted(list(headerName, { max: 16 }), []),
});

export interface PathModifier {
  readonly type: 'ReplaceFullPath' | 'ReplacePrefixMatch';
  readonly value: string;
}

const newPath = refine(text({ max: 1024 }), (path, at) => {
  const problem = controlProblem(path);
  if (problem !== undefined) return at.error(path, problem);
  if (path !== '' && !path.startsWith('/')) at.warn(path, 'makes paths that do not start with "/"');
  return path;
});

const pathModifier: Decoder<PathModifier> = refine(
  object({
    type: required(oneOf('ReplaceFullPath', 'ReplacePrefixMatch')),
    replaceFullPath: optional(newPath),
    replacePrefixMatch: optional(newPath),
  }),
  ({ type, replaceFullPath, replacePrefixMatch }, at) => {
    const isFull = type === 'ReplaceFullPath';
    const value = isFull ? replaceFullPath : replacePrefixMatch;
    const other = isFull ? replacePrefixMatch : replaceFullPath;
    if (other !== undefined) {
      const field = isFull ? 'replacePrefixMatch' : 'replaceFullPath';
      return at.field(field).error(other, `must not be set where type is ${type}`);
    }
    if (value !== undefined) return { type, value };
    const field = isFull ? 'replaceFullPath' : 'replacePrefixMatch';
    return at.field(field).error(undefined, `is required where type is ${type}`);
  },
);

export interface RequestRedirect {
  readonly scheme: 'http' | 'https' | undefined;
  readonly hostname: string | undefined;
  readonly path: PathModifier | undefined;
  readonly port: number | undefined;
  readonly statusCode: number;
}

const redirectCodes: readonly number[] = [301, 302, 303, 307, 308];

const requestRedirect: Decoder<RequestRedirect> = object({
  scheme: optional(oneOf('http', 'https')),
  hostname: optional(preciseHostname),
  path: optional(pathModifier),
  port: optional(port),
  statusCode: defaulted(
    refine(int(), (value, at) =>
      redirectCodes.includes(value) ? value : at.error(value, 'must be 301, 302, 303, 307 or 308'),
    ),
    302,
  ),
});

export interface UrlRewrite {
  readonly hostname: string | undefined;
  readonly path: PathModifier | undefined;
}

const urlRewrite: Decoder<UrlRewrite> = object({
  hostname: optional(preciseHostname),
  path: optional(pathModifier),
});

export interface RequestMirror {
  readonly backendRef: BackendReference;
  /** 0 to 100. */
  readonly percent: number;
}

const requestMirror: Decoder<RequestMirror> = refine(
  object({
    backendRef: required(backendReference),
    percent: optional(int(0, 100)),
    fraction: optional(
      object({
        numerator: required(int(0, 0x7f_ff_ff_ff)),
        denominator: defaulted(int(1, 0x7f_ff_ff_ff), 100),
      }),
    ),
  }),
  ({ backendRef, percent, fraction }, at) => {
    if (fraction === undefined) return { backendRef, percent: percent ?? 100 };
    if (percent !== undefined) {
      return at.field('percent').error(percent, 'must not be set beside fraction');
    }
    const { numerator, denominator } = fraction;
    if (numerator > denominator) {
      return at.field('fraction').error(numerator, 'must be at most 1');
    }
    return { backendRef, percent: (100 * numerator) / denominator };
  },
);

export interface CorsFilter {
  readonly allowOrigins: readonly string[];
  readonly allowCredentials: boolean;
  readonly allowMethods: readonly string[];
  readonly allowHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  readonly maxAge: number;
}

const origin = text({
  min: 1,
  max: 253,
  pattern: /^\*$|^https?:\/\/(((\*\.)?([a-zA-Z0-9-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$/u,
  reason: 'must be "*", or http(s):// and a host, which may start with "*."',
});

const method = oneOf(
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
  '*',
);

/** Each value once, and `*` alone. */
function aloneIfAny(items: Decoder<readonly string[]>): Decoder<readonly string[]> {
  return refine(items, (values, at) => {
    if (values.includes('*') && values.length > 1) {
      return at.error(values, 'must not have other values beside "*"');
    }
    return new Set(values).size === values.length
      ? values
      : at.error(values, 'must have each value once');
  });
}

const cors: Decoder<CorsFilter> = object({
  allowOrigins: defaulted(aloneIfAny(list(origin, { max: 64 })), []),
  allowCredentials: defaulted(bool, false),
  allowMethods: defaulted(aloneIfAny(list(method, { max: 9 })), []),
  allowHeaders: defaulted(aloneIfAny(list(headerName, { max: 64 })), []),
  exposeHeaders: defaulted(list(headerName, { max: 64 }), []),
  maxAge: defaulted(int(1, 0x7f_ff_ff_ff), 5),
});

/** What all filters of a list come to. */
export interface Filters {
  readonly requestHeaders: HeaderModifier | undefined;
  readonly responseHeaders: HeaderModifier | undefined;
  readonly redirect: RequestRedirect | undefined;
  readonly rewrite: UrlRewrite | undefined;
  readonly mirrors: readonly RequestMirror[];
  readonly cors: CorsFilter | undefined;
  /** Types that are not supported: such a rule must answer with an error. */
  readonly unsupported: readonly string[];
}

/** By type: the field that holds its settings. */
const fieldOfType = {
  RequestHeaderModifier: 'requestHeaderModifier',
  ResponseHeaderModifier: 'responseHeaderModifier',
  RequestMirror: 'requestMirror',
  RequestRedirect: 'requestRedirect',
  URLRewrite: 'urlRewrite',
  CORS: 'cors',
  ExtensionRef: 'extensionRef',
  ExternalAuth: 'externalAuth',
} as const;

const filterFields = object({
  type: required(
    oneOf(
      'RequestHeaderModifier',
      'ResponseHeaderModifier',
      'RequestMirror',
      'RequestRedirect',
      'URLRewrite',
      'CORS',
      'ExtensionRef',
      'ExternalAuth',
    ),
  ),
  requestHeaderModifier: optional(headerModifier),
  responseHeaderModifier: optional(headerModifier),
  requestMirror: optional(requestMirror),
  requestRedirect: optional(requestRedirect),
  urlRewrite: optional(urlRewrite),
  cors: optional(cors),
  extensionRef: optional(anything),
  externalAuth: optional(anything),
});

/** The field of the type is set, and no other. */
const filter = refine(filterFields, (value, at) => {
  const expected = fieldOfType[value.type];
  for (const field of Object.values(fieldOfType)) {
    if (field === expected && value[field] === undefined) {
      return at.field(field).error(undefined, `is required where type is ${value.type}`);
    }
    if (field !== expected && value[field] !== undefined) {
      return at.field(field).error(value[field], `must not be set where type is ${value.type}`);
    }
  }
  return value;
});

const repeatable = new Set(['RequestMirror', 'ExtensionRef', 'ExternalAuth']);

export const filters: Decoder<Filters> = refine(list(filter, { max: 16 }), (values, at) => {
  const types = values.map(({ type }) => type);
  for (const [index, type] of types.entries()) {
    if (!repeatable.has(type) && types.indexOf(type) < index) {
      at.item(index).field('type').error(type, 'is there twice');
      return invalid;
    }
  }
  if (types.includes('RequestRedirect') && types.includes('URLRewrite')) {
    return at.error(types, 'must not have both RequestRedirect and URLRewrite');
  }
  const first = <T>(pick: (value: (typeof values)[number]) => T | undefined): T | undefined =>
    values.map(pick).find((found) => found !== undefined);
  return {
    requestHeaders: first((value) => value.requestHeaderModifier),
    responseHeaders: first((value) => value.responseHeaderModifier),
    redirect: first((value) => value.requestRedirect),
    rewrite: first((value) => value.urlRewrite),
    mirrors: values.map((value) => value.requestMirror).filter((value) => value !== undefined),
    cors: first((value) => value.cors),
    unsupported: types.filter((type) => type === 'ExtensionRef' || type === 'ExternalAuth'),
  };
});

export const noFilters: Filters = {
  requestHeaders: undefined,
  responseHeaders: undefined,
  redirect: undefined,
  rewrite: undefined,
  mirrors: [],
  cors: undefined,
  unsupported: [],
};

export interface WeightedBackend extends BackendReference {
  readonly weight: number;
  readonly filters: Filters;
}

export const weightedBackend: Decoder<WeightedBackend> = refine(
  object({
    ...backendFields,
    weight: defaulted(int(0, 1_000_000), 1),
    filters: defaulted(filters, noFilters),
  }),
  checkBackendPort,
);
