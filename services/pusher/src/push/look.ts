import type { XdsStream } from './stream.ts';

/** Reads what a push to a stream reads of it, as far as that is the stream's own. */
export function look(stream: XdsStream): number {
  const { session } = stream;
  const seen = stream.isReady ? 1 : 0;
  if (session === undefined) return seen;
  const [type] = session.types();
  const waits = session.wakeAtMs === Number.POSITIVE_INFINITY ? 0 : 1;
  const held = type?.held === undefined ? 0 : 1;
  return seen + waits + held + (type?.outstanding.length ?? 0);
}
