import type {
  CorsPolicy,
  HTTPDirectResponse,
  HTTPFaultInjection,
  HTTPFaultInjection_Abort,
  HTTPFaultInjection_Delay,
  HTTPRedirect,
  HTTPRewrite,
  Percent,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import type { At } from '../../decode.ts';
import { checkDuration, checkPercent, checkPort, checkRegex } from '../common/checks.ts';
import { controlProblem, isHeaderName } from '../common/headers.ts';

const kib = 1024;
const redirectCodes = new Set([301, 302, 303, 307, 308]);
const corsMethods = new Set('GET HEAD POST PUT PATCH DELETE CONNECT OPTIONS TRACE *'.split(' '));

/** https://github.com/grpc/grpc/blob/master/doc/statuscodes.md */
const grpcStatuses = new Set([
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
]);

export function checkCors(cors: CorsPolicy | undefined, at: At): void {
  if (cors === undefined) return;
  for (const [index, origin] of cors.allowOrigins.entries()) {
    const item = at.field('allowOrigins').item(index);
    if ((origin.matchType?.value ?? '') === '') item.error(origin, 'must match some origin');
    else if (origin.matchType?.$case === 'regex') {
      checkRegex(item.field('regex'), origin.matchType.value);
    }
  }
  if (cors.allowOrigin.length > 0) {
    at.field('allowOrigin').warn(cors.allowOrigin, 'is deprecated; use allowOrigins');
  }
  for (const [index, method] of cors.allowMethods.entries()) {
    if (!corsMethods.has(method)) {
      at.field('allowMethods').item(index).error(method, 'must be an HTTP method, or "*"');
    }
  }
  for (const field of ['allowHeaders', 'exposeHeaders'] as const) {
    for (const [index, name] of cors[field].entries()) {
      if (!isHeaderName(name)) {
        at.field(field).item(index).error(name, 'must be the name of a header, or "*"');
      }
    }
  }
  checkDuration(at.field('maxAge'), cors.maxAge);
  if (cors.maxAge !== undefined && cors.maxAge.nanos !== 0) {
    at.field('maxAge').error(cors.maxAge, 'must be whole seconds');
  }
}

export function checkFault(fault: HTTPFaultInjection | undefined, at: At): void {
  if (fault === undefined) return;
  if (fault.abort === undefined && fault.delay === undefined) {
    at.error(fault, 'must have an abort or a delay');
  }
  checkAbort(fault.abort, at.field('abort'));
  checkDelay(fault.delay, at.field('delay'));
}

function checkAbort(abort: HTTPFaultInjection_Abort | undefined, at: At): void {
  if (abort === undefined) return;
  checkFraction(abort.percentage, at.field('percentage'));
  const kind = abort.errorType;
  switch (kind?.$case) {
    case 'httpStatus':
      checkStatus(kind.value, at.field('httpStatus'));
      break;
    case 'grpcStatus':
      if (!grpcStatuses.has(kind.value)) {
        at.field('grpcStatus').error(kind.value, 'must be a status of gRPC, as NOT_FOUND');
      }
      break;
    case 'http2Error':
      at.field('http2Error').error(kind.value, 'is not supported');
      break;
    case undefined:
      at.warn(abort, 'says nothing to abort with, so it has no effect');
  }
}

function checkDelay(delay: HTTPFaultInjection_Delay | undefined, at: At): void {
  if (delay === undefined) return;
  checkFraction(delay.percentage, at.field('percentage'));
  checkPercent(at.field('percent'), delay.percent);
  if (delay.percent !== 0) at.field('percent').warn(delay.percent, 'is deprecated; use percentage');
  const kind = delay.httpDelayType;
  if (kind?.$case === 'fixedDelay') checkDuration(at.field('fixedDelay'), kind.value);
  else if (kind?.$case === 'exponentialDelay') {
    at.field('exponentialDelay').error(kind.value, 'is not supported');
  } else at.warn(delay, 'says no fixedDelay, so it has no effect');
}

/** 0, or as much as a fraction of a million can say. */
function checkFraction(percent: Percent | undefined, at: At): void {
  const value = percent?.value ?? 0;
  if (value < 0 || value > 100 || (value > 0 && value < 0.0001)) {
    at.field('value').error(value, 'must be 0, or from 0.0001 to 100');
  }
}

function checkStatus(status: number, at: At): void {
  if (status < 200 || status > 599) at.error(status, 'must be a status code, from 200 to 599');
}

export function checkRedirect(redirect: HTTPRedirect | undefined, at: At): void {
  if (redirect === undefined) return;
  const { uri, authority, scheme, redirectPort, redirectCode } = redirect;
  if (uri === '' && authority === '' && scheme === '' && redirectPort === undefined) {
    at.error(redirect, 'must change the uri, the authority, the scheme or the port');
  }
  if (redirectCode !== 0 && !redirectCodes.has(redirectCode)) {
    at.field('redirectCode').error(redirectCode, 'must be 301, 302, 303, 307 or 308');
  }
  if (scheme !== '' && scheme !== 'http' && scheme !== 'https') {
    at.field('scheme').error(scheme, 'must be http or https');
  }
  if (uri !== '' && !uri.startsWith('/')) {
    at.field('uri').warn(uri, 'stands right behind the host, for it does not start with "/"');
  }
  checkHeaderText(uri, at.field('uri'));
  checkHeaderText(authority, at.field('authority'));
  if (redirectPort?.$case === 'port') checkPort(at.field('port'), redirectPort.value);
}

function checkHeaderText(text: string, at: At): void {
  const problem = controlProblem(text);
  if (problem !== undefined) at.error(text, problem);
}

export function checkResponse(response: HTTPDirectResponse | undefined, at: At): void {
  if (response === undefined) return;
  checkStatus(response.status, at.field('status'));
  const body = response.body?.specifier;
  if (body === undefined) return;
  const size = body.$case === 'bytes' ? body.value.length : Buffer.byteLength(body.value);
  const inner = at.field('body');
  if (size > kib * kib) inner.error(undefined, 'must have at most 1 MiB');
  else if (size > 100 * kib) {
    inner.warn(undefined, 'is over 100 KiB, of which each proxy gets a copy');
  }
  if (body.$case === 'bytes' && !isUtf8(body.value)) {
    inner.field('bytes').error(undefined, 'must be UTF-8 text: other bodies are not supported');
  }
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

export function checkRewrite(rewrite: HTTPRewrite | undefined, at: At): void {
  if (rewrite === undefined) return;
  const { uri, authority, uriRegexRewrite } = rewrite;
  if (uri !== '' && uriRegexRewrite !== undefined) {
    at.field('uri').error(uri, 'must not be set beside uriRegexRewrite');
  }
  if (uri !== '' && !uri.startsWith('/')) {
    at.field('uri').warn(uri, 'makes paths that do not start with "/", which servers refuse');
  }
  if (uri === '' && authority === '' && uriRegexRewrite === undefined) {
    at.error(rewrite, 'must rewrite the uri or the authority');
  }
  checkHeaderText(uri, at.field('uri'));
  checkHeaderText(authority, at.field('authority'));
  if (uriRegexRewrite === undefined) return;
  const inner = at.field('uriRegexRewrite');
  checkRegex(inner.field('match'), uriRegexRewrite.match);
  checkHeaderText(uriRegexRewrite.rewrite, inner.field('rewrite'));
  if (uriRegexRewrite.rewrite === '') inner.field('rewrite').error('', 'must not be empty');
}
