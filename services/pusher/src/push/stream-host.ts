import type { Time } from '@watershed/runtime/clock.ts';
import type { ProxyNode } from '../node-scope.ts';
import type { SessionContext } from '../session/context.ts';
import type { KeptNames } from '../session/kept-names.ts';
import type { RequestDecoder } from '../session/request-codec.ts';
import type { SessionLimits } from '../session/session-options.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { Admission } from './admission.ts';
import type { Alarms } from './alarms.ts';
import type { AnswerQuery } from './debug-queries.ts';
import type { SessionKinds } from './session-kinds.ts';
import type { StreamObserver } from './stream-observer.ts';

/** What streams share, and who wants to know of them. */
export interface StreamHost<Stream> {
  readonly context: SessionContext;
  readonly decoder: RequestDecoder;
  readonly time: Time;
  readonly alarms: Alarms;
  readonly limits: SessionLimits;
  readonly names: KeptNames;
  readonly kinds: SessionKinds;
  /** A client that takes nothing for so long is cut off; 0: never. */
  readonly sendTimeoutMs: number;
  /** By type: how long clients that know TTLs may keep what they do not hear of. */
  readonly ttlsMs: ReadonlyMap<string, number>;
  readonly observer: StreamObserver<Stream>;
  /** When new streams get what they ask for. */
  readonly admission: Admission;
  /** Answers istio's questions about this server. */
  readonly answer: AnswerQuery;
  /** The first request named the node: the stream is to be given its scope's views. */
  identified(stream: Stream, node: ProxyNode): void;
  newest(stream: Stream): ScopeView | undefined;
  /** It may ask for something else now; gives the view that is to answer it, if it does. */
  asked(stream: Stream): ScopeView | undefined;
  closed(stream: Stream): void;
}
