import { STATUS_CODES } from 'node:http';
import type {
  Destination,
  HTTPRetry,
  HTTPRouteDestination,
  Headers,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import type { At } from '../../decode.ts';
import {
  checkDnsLabel,
  checkDuration,
  checkHeaderCase,
  checkHeaderOperation,
  checkHeaderValues,
  checkNotNegative,
  checkPort,
  checkWildcardHost,
} from '../common/checks.ts';
import { isAddress } from '../common/hosts.ts';

/** Conditions of `x-envoy-retry-on` and `x-envoy-retry-grpc-on`. */
const retryConditions = new Set([
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'retriable-headers',
  'envoy-ratelimited',
  'http3-post-connect-failure',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
]);

export function checkRoute(route: readonly HTTPRouteDestination[], at: At): void {
  let total = 0;
  for (const [index, entry] of route.entries()) {
    const item = at.item(index);
    if (entry.destination === undefined) item.field('destination').error(undefined, 'is required');
    checkDestination(entry.destination, item.field('destination'));
    checkHeaders(entry.headers, item.field('headers'));
    checkNotNegative(item.field('weight'), entry.weight);
    total += entry.weight;
  }
  if (route.length > 1 && total === 0) at.error(route, 'must have weights of which one is not 0');
  // Envoy's limit of the sum of a route's weights.
  if (total > 0xff_ff_ff_ff) at.error(total, 'must have weights whose sum is at most 4294967295');
}

export function checkDestination(destination: Destination | undefined, at: At): void {
  if (destination === undefined) return;
  const { host, subset, port } = destination;
  if (host === '*') at.field('host').error(host, 'must name one host');
  else if (!isAddress(host)) checkWildcardHost(at.field('host'), host);
  if (subset !== '') checkDnsLabel(at.field('subset'), subset);
  if (port !== undefined) checkPort(at.field('port').field('number'), port.number);
}

export function checkHeaders(headers: Headers | undefined, at: At): void {
  for (const direction of ['request', 'response'] as const) {
    const operations = headers?.[direction];
    if (operations === undefined) continue;
    const inner = at.field(direction);
    for (const operation of ['set', 'add'] as const) {
      checkHeaderValues(inner.field(operation), operations[operation], direction);
      checkHeaderCase(inner.field(operation), Object.keys(operations[operation]));
    }
    for (const [index, name] of operations.remove.entries()) {
      checkHeaderOperation(inner.field('remove').item(index), name, false);
    }
  }
}

export function checkRetry(retry: HTTPRetry | undefined, at: At): void {
  if (retry === undefined) return;
  checkNotNegative(at.field('attempts'), retry.attempts);
  const { perTryTimeout, retryOn, retryRemoteLocalities } = retry;
  if (
    retry.attempts === 0 &&
    (perTryTimeout !== undefined || retryOn !== '' || retryRemoteLocalities !== undefined)
  ) {
    at.field('attempts').error(0, 'must not be 0 (no retries) where retries are described');
  }
  checkDuration(at.field('perTryTimeout'), perTryTimeout);
  checkDuration(at.field('backoff'), retry.backoff);
  for (const condition of splitRetryOn(retryOn)) {
    if (!isStatusCode(condition) && !retryConditions.has(condition)) {
      at.field('retryOn').error(condition, 'is neither a condition of Envoy nor a status code');
    }
  }
}

export function splitRetryOn(retryOn: string): string[] {
  return retryOn
    .split(',')
    .map((condition) => condition.trim())
    .filter((condition) => condition !== '');
}

export function isStatusCode(text: string): boolean {
  return /^[1-5][0-9]{2}$/u.test(text) && Object.hasOwn(STATUS_CODES, text);
}
