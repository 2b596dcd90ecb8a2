import { RetryPolicy } from '@watershed/proto/gen/envoy/config/route/v3/route_components.ts';
import { PreviousHostsPredicate } from '@watershed/proto/gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.ts';
import { PreviousPrioritiesConfig } from '@watershed/proto/gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.ts';
import { pack, typeUrls } from '@watershed/proto/any.ts';
import type { Retry } from '@watershed/model/gen/model.ts';
import { durationOf } from './values.ts';

export type RetryArgument = Pick<
  Retry,
  'attempts' | 'perTryTimeoutMs' | 'retryOn' | 'backoffMs' | 'statusCodes'
> & {
  /** Tried on another host than those that failed. */
  readonly otherHosts: boolean;
  /** Tried in localities of lower priority, too. */
  readonly otherLocalities: boolean;
};

/** After so many tries, priorities are weighed anew, without those that were tried (istiod). */
const triesPerUpdate = 2;

/** How often istiod lets Envoy look for a host that the predicates do not refuse. */
const hostSelections = 5;

export function retryPolicy(retry: RetryArgument): RetryPolicy {
  const policy = RetryPolicy.fromPartial({
    retryOn: retry.retryOn,
    numRetries: retry.attempts,
    retriableStatusCodes: retry.statusCodes,
    hostSelectionRetryMaxAttempts: hostSelections,
    ...(retry.perTryTimeoutMs === undefined
      ? {}
      : { perTryTimeout: durationOf(retry.perTryTimeoutMs) }),
    ...(retry.backoffMs === undefined
      ? {}
      : { retryBackOff: { baseInterval: durationOf(retry.backoffMs) } }),
  });
  if (retry.otherHosts) {
    policy.retryHostPredicate = [
      {
        name: 'envoy.retry_host_predicates.previous_hosts',
        configType: {
          $case: 'typedConfig',
          value: pack(typeUrls.previousHosts, PreviousHostsPredicate, {}),
        },
      },
    ];
  }
  if (retry.otherLocalities) {
    const config = { updateFrequency: triesPerUpdate };
    policy.retryPriority = {
      name: 'envoy.retry_priorities.previous_priorities',
      configType: {
        $case: 'typedConfig',
        value: pack(typeUrls.previousPriorities, PreviousPrioritiesConfig, config),
      },
    };
  }
  return policy;
}
