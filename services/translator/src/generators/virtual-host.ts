/** A virtual host, as the fragment of a RouteConfiguration that it is (field `virtual_hosts`). */
import type { Route } from '@watershed/proto/gen/envoy/config/route/v3/route_components.ts';
import {
  DirectResponseAction,
  Route as RouteMessage,
  VirtualHost,
  VirtualHost_TlsRequirementType as TlsRequirement,
} from '@watershed/proto/gen/envoy/config/route/v3/route_components.ts';
import { RouteConfiguration } from '@watershed/proto/gen/envoy/config/route/v3/route.ts';
import { CorsPolicy } from '@watershed/proto/gen/envoy/extensions/filters/http/cors/v3/cors.ts';
import { HTTPFault } from '@watershed/proto/gen/envoy/extensions/filters/http/fault/v3/fault.ts';
import type { Any } from '@watershed/proto/gen/google/protobuf/any.ts';
import { pack, typeUrls } from '@watershed/proto/any.ts';
import type { Cors, DirectResponse, Fault, HeaderOps } from '@watershed/model/gen/model.ts';
import type { Generator } from '../plan.ts';
import {
  type ForwardArgument,
  forwardAction,
  type RedirectArgument,
  redirectAction,
} from './route-action.ts';
import { type MatchArgument, routeMatch, stringMatcher } from './route-match.ts';
import { durationOf, fractionOf, headerEdits } from './values.ts';

export interface VirtualHostArgument {
  readonly name: string;
  readonly domains: readonly string[];
  readonly rules: readonly RuleArgument[];
  /** Plain HTTP is answered with a redirect to HTTPS. */
  readonly requireTls: boolean;
}

export interface RuleArgument {
  readonly name: string;
  /** In order; empty: everything. */
  readonly matches: readonly MatchArgument[];
  readonly action: ActionArgument;
  readonly fault: Fault | undefined;
  readonly cors: Cors | undefined;
  readonly requestHeaders: HeaderOps | undefined;
  readonly responseHeaders: HeaderOps | undefined;
}

export type ActionArgument =
  | { readonly kind: 'forward'; readonly forward: ForwardArgument }
  | { readonly kind: 'redirect'; readonly redirect: RedirectArgument }
  | { readonly kind: 'respond'; readonly respond: DirectResponse };

export const virtualHost: Generator<VirtualHostArgument> = {
  name: 'virtual-host',
  version: 1,
  generate(argument) {
    const host = VirtualHost.fromPartial({
      name: argument.name,
      domains: [...argument.domains],
      includeRequestAttemptCount: true,
      ...(argument.requireTls ? { requireTls: TlsRequirement.ALL } : {}),
    });
    host.routes = argument.rules.flatMap(routesOf);
    const table = RouteConfiguration.fromPartial({});
    table.virtualHosts = [host];
    return { bytes: RouteConfiguration.encode(table).finish() };
  },
};

/** One route per match: Envoy's matches have no "or". */
function routesOf(rule: RuleArgument): Route[] {
  const matches = rule.matches.length === 0 ? [undefined] : rule.matches;
  return matches.map((match) => routeOf(rule, match));
}

function routeOf(rule: RuleArgument, match: MatchArgument | undefined): Route {
  const request = headerEdits(rule.requestHeaders);
  const response = headerEdits(rule.responseHeaders);
  const route = RouteMessage.fromPartial({
    name: rule.name,
    requestHeadersToAdd: request.add,
    requestHeadersToRemove: request.remove,
    responseHeadersToAdd: response.add,
    responseHeadersToRemove: response.remove,
    typedPerFilterConfig: filterConfigs(rule),
  });
  route.match = routeMatch(match);
  route.action = actionOf(rule.action, wholePrefix(match));
  return route;
}

function wholePrefix(match: MatchArgument | undefined): string | undefined {
  const path = match?.path?.match;
  return path?.$case === 'pathPrefix' ? path.value.replace(/\/+$/, '') : undefined;
}

function actionOf(action: ActionArgument, matchedPrefix: string | undefined): Route['action'] {
  switch (action.kind) {
    case 'forward':
      return { $case: 'route', value: forwardAction(action.forward, matchedPrefix) };
    case 'redirect':
      return { $case: 'redirect', value: redirectAction(action.redirect, matchedPrefix) };
    case 'respond': {
      const { status, body } = action.respond;
      const inline = { specifier: { $case: 'inlineString', value: body } as const };
      const respond = { status, ...(body === '' ? {} : { body: inline }) };
      return { $case: 'directResponse', value: DirectResponseAction.fromPartial(respond) };
    }
  }
}

function filterConfigs(rule: RuleArgument): Record<string, Any> {
  const configs: Record<string, Any> = {};
  if (rule.fault !== undefined) configs['envoy.filters.http.fault'] = faultConfig(rule.fault);
  if (rule.cors !== undefined) configs['envoy.filters.http.cors'] = corsConfig(rule.cors);
  return configs;
}

export function faultConfig(fault: Fault): Any {
  const delay =
    fault.delayPercent > 0
      ? {
          delay: {
            percentage: fractionOf(fault.delayPercent),
            faultDelaySecifier: {
              $case: 'fixedDelay' as const,
              value: durationOf(fault.delayMs),
            },
          },
        }
      : {};
  const abort =
    fault.abortPercent > 0
      ? {
          abort: {
            percentage: fractionOf(fault.abortPercent),
            errorType:
              fault.abortGrpcStatus === ''
                ? { $case: 'httpStatus' as const, value: fault.abortHttpStatus }
                : { $case: 'grpcStatus' as const, value: grpcStatus(fault.abortGrpcStatus) },
          },
        }
      : {};
  return pack(typeUrls.httpFault, HTTPFault, HTTPFault.fromPartial({ ...delay, ...abort }));
}

/** https://grpc.github.io/grpc/core/md_doc_statuscodes.html, by name or by number. */
const grpcStatuses = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

function grpcStatus(status: string): number {
  const byName = grpcStatuses.indexOf(status.toUpperCase());
  return byName >= 0 ? byName : Number(status);
}

function corsConfig(cors: Cors): Any {
  const origins = cors.allowOrigins.map((origin) => stringMatcher(origin));
  const policy = CorsPolicy.fromPartial({
    allowOriginStringMatch: origins.filter((origin) => origin !== undefined),
    allowMethods: cors.allowMethods.join(','),
    allowHeaders: cors.allowHeaders.join(','),
    exposeHeaders: cors.exposeHeaders.join(','),
    maxAge: cors.maxAgeS === undefined ? '' : String(cors.maxAgeS),
    ...(cors.allowCredentials === undefined ? {} : { allowCredentials: cors.allowCredentials }),
    forwardNotMatchingPreflights: cors.forwardUnmatchedPreflights,
  });
  return pack(typeUrls.corsPolicy, CorsPolicy, policy);
}
