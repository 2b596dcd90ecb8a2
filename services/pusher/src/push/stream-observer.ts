import type { ProxyNode } from '../node-scope.ts';
import type { Frame } from '../session/frame.ts';
import type { SessionNack } from '../session/session-options.ts';
import type { Stage } from '../session/type-traits.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { StreamEnd } from './carrier.ts';

/** What happens on streams. */
export interface StreamObserver<Stream> {
  /** A stream said whose it is. */
  identified(node: ProxyNode): void;
  sent(stream: Stream, frame: Frame): void;
  suppressed(typeUrl: string): void;
  acked(stream: Stream, typeUrl: string, frame: Frame): void;
  nacked(stream: Stream, nack: SessionNack): void;
  gateForced(stream: Stream, stage: Stage): void;
  resumed(typeUrl: string, unchanged: boolean): void;
  stale(typeUrl: string): void;
  /** A frame was composed (or found) and given to the transport in `ms`. */
  wrote(frame: Frame, ms: number): void;
  /** What was given to the transport `ms` ago has left. */
  drained(ms: number): void;
  /** The client has all of its view; `ms`: since the view began to be made. */
  converged(stream: Stream, view: ScopeView, ms: number): void;
  writeTimeout(stream: Stream): void;
  request(bytes: number): void;
  /** It is about to be ended for what its client asked. */
  refused(stream: Stream, end: StreamEnd): void;
}
