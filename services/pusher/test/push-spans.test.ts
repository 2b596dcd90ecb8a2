import type { AttributeValue, Span, SpanOptions, Tracing } from '@watershed/runtime/tracing.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { expect, it } from 'vitest';
import { PushSpans } from '../src/push/push-spans.ts';
import type { ScopeView } from '../src/view/scope-view.ts';

const trace = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
const types = new Map();
const view: ScopeView = { scope: 's', sequence: 1, epoch: 7, types, sinceMs: 0, trace };

interface Recorded {
  readonly name: string;
  readonly parent: string | undefined;
  readonly attributes: Record<string, AttributeValue>;
  failed: boolean;
  ended: boolean;
}

class Recorder implements Tracing {
  readonly spans: Recorded[] = [];

  start(name: string, { parent, attributes }: SpanOptions = {}): Span {
    const span = { name, parent, attributes: { ...attributes }, failed: false, ended: false };
    this.spans.push(span);
    return {
      traceparent: `of ${name}`,
      recording: true,
      set: (key, value) => (span.attributes[key] = value),
      fail: () => (span.failed = true),
      end: () => (span.ended = true),
    };
  }

  async shutdown(): Promise<void> {}
}

const streamsOf = (count: number): readonly { node: { id: string } }[] =>
  Array.from({ length: count }, (_, at) => ({ node: { id: `proxy-${at}` } }));

it('a push says how many proxies have ACKed all of it, and when the last one did', async () => {
  const time = new VirtualTime();
  const recorder = new Recorder();
  const spans = new PushSpans(recorder, time);
  const streams = streamsOf(100);
  spans.begin(view, ['CDS'], new Set(streams));
  for (const stream of streams.slice(0, 60)) spans.acked(stream, view);
  await time.advance(250);
  spans.acked(streams[60]!, view);
  await time.advance(1_000);
  spans.begin({ ...view, sequence: 2 }, ['CDS'], new Set(streams));
  expect(recorder.spans.map(({ name }) => name)).toEqual(['push', 'push']);
  expect(recorder.spans[0]).toMatchObject({ parent: trace, ended: true, failed: false });
  expect(recorder.spans[0]?.attributes).toEqual({
    'watershed.scope': 's',
    'watershed.epoch': 7,
    'watershed.types': 'CDS',
    'watershed.streams': 100,
    'watershed.acked': 61,
    'watershed.last_ack_ms': 250,
  });
});

it('a push to a few proxies has a span for each, which ends with its last ACK', () => {
  const recorder = new Recorder();
  const spans = new PushSpans(recorder, new VirtualTime());
  const [one, other] = streamsOf(2);
  spans.begin(view, ['EDS'], new Set([one!, other!]));
  spans.acked(other!, view);
  const acks = recorder.spans.filter(({ name }) => name === 'ack');
  const brief = (): unknown =>
    acks.map((s) => [s.attributes['watershed.proxy'], s.ended, s.failed]);
  expect(acks.every(({ parent }) => parent === 'of push')).toBe(true);
  expect(brief()).toEqual([
    ['proxy-0', false, false],
    ['proxy-1', true, false],
  ]);
  expect(recorder.spans[0]?.ended).toBe(false);
  spans.stop();
  expect(recorder.spans[0]?.attributes['watershed.acked']).toBe(1);
  expect(brief()).toEqual([
    ['proxy-0', true, true],
    ['proxy-1', true, false],
  ]);
});
