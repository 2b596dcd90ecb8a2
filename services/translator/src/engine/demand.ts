/** Which scopes some pusher asks for. A demand expires, so that a pusher that died is forgotten. */
import { scopeId } from '@watershed/blob/scope-id.ts';
import { Feedback } from '@watershed/model/gen/record.ts';
import type { Demand, ScopeClass } from '@watershed/model/gen/record.ts';

export interface Demanded {
  readonly scope: string;
  readonly scopeClass: ScopeClass;
  /** Milliseconds since the Unix epoch. */
  readonly expiresMs: number;
}

export type ReadFeedback =
  | { readonly kind: 'demand'; readonly demanded: Demanded }
  | { readonly kind: 'missing'; readonly digests: readonly Uint8Array[] }
  /** A pusher is there until then. */
  | { readonly kind: 'pusher'; readonly readsInlined: boolean; readonly expiresMs: number }
  /** For others: NACKs, progress. */
  | { readonly kind: 'other' }
  | { readonly kind: 'refused'; readonly reason: string };

/** Reads one value of the topic `feedback`. */
export function readFeedback(value: Uint8Array): ReadFeedback {
  try {
    const { report } = Feedback.decode(value);
    if (report?.$case === 'missing') return { kind: 'missing', digests: report.value.digests };
    if (report?.$case === 'pusher') return { kind: 'pusher', ...report.value };
    if (report?.$case !== 'demand') return { kind: 'other' };
    return readDemand(report.value);
  } catch (error) {
    return { kind: 'refused', reason: error instanceof Error ? error.message : String(error) };
  }
}

function readDemand({ scope, scopeClass, expiresMs }: Demand): ReadFeedback {
  if (scopeClass === undefined) return { kind: 'refused', reason: 'a demand without a class' };
  if (scopeId(scopeClass) !== scope) {
    return { kind: 'refused', reason: `the class is not that of scope ${JSON.stringify(scope)}` };
  }
  return { kind: 'demand', demanded: { scope, scopeClass, expiresMs } };
}
