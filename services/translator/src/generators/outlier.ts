/** Which endpoints a cluster leaves out for a while: DestinationRule's `outlierDetection`. */
import { OutlierDetection } from '@watershed/proto/gen/envoy/config/cluster/v3/outlier_detection.ts';
import type { OutlierDetection as Model } from '@watershed/model/gen/model.ts';
import { durationOf } from './values.ts';

/** Detection by success rate is off, as in istiod; a threshold of 0 switches its kind off. */
export function outlierDetection(model: Model): OutlierDetection {
  const out = OutlierDetection.fromPartial({ enforcingSuccessRate: 0 });
  if (model.consecutive5xx !== undefined) {
    out.consecutive5xx = model.consecutive5xx;
    out.enforcingConsecutive5xx = model.consecutive5xx > 0 ? 100 : 0;
  }
  if (model.consecutiveGatewayErrors !== undefined) {
    out.consecutiveGatewayFailure = model.consecutiveGatewayErrors;
    out.enforcingConsecutiveGatewayFailure = model.consecutiveGatewayErrors > 0 ? 100 : 0;
  }
  if (model.intervalMs !== undefined) out.interval = durationOf(model.intervalMs);
  if (model.baseEjectionTimeMs !== undefined) {
    out.baseEjectionTime = durationOf(model.baseEjectionTimeMs);
  }
  if ((model.maxEjectionPercent ?? 0) > 0) out.maxEjectionPercent = model.maxEjectionPercent;
  if (model.splitExternalLocalOriginErrors) {
    out.splitExternalLocalOriginErrors = true;
    if ((model.consecutiveLocalOriginFailures ?? 0) > 0) {
      out.consecutiveLocalOriginFailure = model.consecutiveLocalOriginFailures;
      out.enforcingConsecutiveLocalOriginFailure = 100;
    }
    out.enforcingLocalOriginSuccessRate = 0;
  }
  return out;
}
