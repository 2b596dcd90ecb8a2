import type { Retry } from '@watershed/model/gen/model.ts';
import type { RetryArgument } from '../generators/retry-policy.ts';

const istioConditions =
  'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes';

/** istiod's default: two more tries of what surely did not reach the application. */
const istioRetry: RetryArgument = {
  attempts: 2,
  retryOn: istioConditions,
  perTryTimeoutMs: undefined,
  backoffMs: undefined,
  statusCodes: [],
  otherHosts: true,
  otherLocalities: false,
};

/**
 * What a rule says of retries, or else the mesh's `defaultHttpRetryPolicy`, or else istiod's
 * default.
 *
 * @returns `undefined` for no retries at all
 */
export function retryOf(
  rule: Retry | undefined,
  mesh: Retry | undefined,
): RetryArgument | undefined {
  const retry = rule ?? mesh;
  if (retry === undefined) return istioRetry;
  if (retry.attempts <= 0) return undefined;
  const { attempts, retryOn, perTryTimeoutMs, backoffMs, statusCodes } = retry;
  return {
    attempts,
    retryOn: retryOn === '' ? istioConditions : retryOn,
    perTryTimeoutMs,
    backoffMs,
    statusCodes,
    otherHosts: retry.retryIgnorePreviousHosts,
    otherLocalities: retry.retryRemoteLocalities === true,
  };
}
