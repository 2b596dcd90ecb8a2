import type {
  HTTPMatchRequest,
  StringMatch,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import type { At } from '../../decode.ts';
import { checkDnsLabel, checkLabels, checkPort, checkRegex } from '../common/checks.ts';
import { isClaimMatch, isHeaderName, isPseudoHeader } from '../common/headers.ts';
import { checkGatewayNames } from './gateway-names.ts';

/** In a match of a header or a query parameter, not a regular expression: any value, but present. */
export const anyValue = '*';

/** Envoy's, of the name of a query parameter. */
const maxParameter = 1024;

export function checkMatches(matches: readonly HTTPMatchRequest[], at: At): void {
  for (const [index, match] of matches.entries()) checkMatch(match, at.item(index));
}

function checkMatch(match: HTTPMatchRequest, at: At): void {
  checkPath(match.uri?.matchType, at.field('uri'));
  for (const field of ['scheme', 'method', 'authority'] as const) {
    if (match[field] !== undefined) checkText(match[field], at.field(field), false);
  }
  for (const field of ['headers', 'withoutHeaders'] as const) {
    for (const [name, value] of Object.entries(match[field])) {
      const item = at.field(field).field(name);
      checkName(name, item);
      checkText(value, item, true);
    }
  }
  for (const [name, value] of Object.entries(match.queryParams)) {
    const item = at.field('queryParams').field(name);
    if (name === '' || Buffer.byteLength(name) > maxParameter) {
      item.error(name, `must be a name of at most ${maxParameter} bytes`);
    }
    checkText(value, item, true);
  }
  if (match.port !== 0) checkPort(at.field('port'), match.port);
  checkLabels(at.field('sourceLabels'), match.sourceLabels);
  checkGatewayNames(at.field('gateways'), match.gateways);
  if (match.sourceNamespace !== '') {
    checkDnsLabel(at.field('sourceNamespace'), match.sourceNamespace);
  }
  if (match.statPrefix !== '') {
    at.field('statPrefix').warn(match.statPrefix, 'is not supported and has no effect');
  }
}

/** An empty prefix matches every path; of a header it would be a match that says nothing. */
function checkPath(match: StringMatch['matchType'], at: At): void {
  if (match === undefined) return;
  const { $case: kind, value } = match;
  if (kind === 'regex') checkRegex(at.field(kind), value);
  else if (!value.startsWith('/') && !(kind === 'prefix' && value === '')) {
    at.field(kind).warn(value, 'matches no request: paths start with "/"');
  }
}

function checkName(name: string, at: At): void {
  if (isClaimMatch(name)) {
    at.error(name, 'matches a claim of a JWT, which is not supported');
  } else if (!isPseudoHeader(name) && !isHeaderName(name)) {
    at.error(name, 'must be the name of a header');
  }
}

function checkText(match: StringMatch, at: At, mayBeAny: boolean): void {
  const kind = match.matchType;
  if (kind?.$case === 'prefix' && kind.value === '') {
    at.field('prefix').error(kind.value, 'must not be empty');
  }
  if (kind?.$case === 'regex' && !(mayBeAny && kind.value === anyValue)) {
    checkRegex(at.field('regex'), kind.value);
  }
}
