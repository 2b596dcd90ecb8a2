import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  flags,
  frame,
  frames,
  grpcHeaders,
  headerBlock,
  setting,
  uint32,
} from '../../support/raw-http2.ts';
import { Bench, hello, limits } from './support.ts';

const path = '/a.B/C';

function open(stream: number, flag = 0): Buffer {
  return frame(frames.headers, flags.endHeaders | flag, stream, grpcHeaders(path));
}

function data(stream: number, bytes: Uint8Array, flag = 0): Buffer {
  return frame(frames.data, flag, stream, Buffer.from(bytes));
}

const id = fc.constantFrom(1, 3, 5, 7, 2, 0);
const payload = fc.uint8Array({ maxLength: 64 });

/** Frames as a client might send them, and now and then what none should. */
const anyFrame: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 4, arbitrary: id.map((of) => open(of)) },
  { weight: 6, arbitrary: fc.tuple(id, payload).map(([of, bytes]) => data(of, bytes)) },
  fc.tuple(id, payload).map(([of, bytes]) => data(of, bytes, flags.endStream)),
  fc
    .tuple(id, fc.constantFrom(0, 1, 70_000))
    .map(([of, by]) => frame(frames.windowUpdate, 0, of, uint32(by))),
  id.map((of) => frame(frames.reset, 0, of, uint32(8))),
  fc.constant(frame(frames.ping, 0, 0, Buffer.alloc(8))),
  fc
    .constantFrom(0, 65_535, 2 ** 31)
    .map((window) => frame(frames.settings, 0, 0, setting(4, window))),
  fc.constant(frame(frames.settings, flags.ack, 0)),
  fc
    .tuple(fc.nat(12), fc.nat(255), id, payload)
    .map(([type, flag, of, bytes]) => frame(type, flag, of, Buffer.from(bytes))),
);

describe('whatever comes', () => {
  it('is the same in whatever parts it comes', () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 30 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }),
        (all, sizes) => {
          const bytes = Buffer.concat([hello, ...all]);
          const whole = new Bench();
          whole.connection.receive(bytes);
          const parts = new Bench();
          // The buffer is used again for each part, as a socket does.
          const buffer = Buffer.alloc(40);
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const size = sizes[i % sizes.length] ?? 1;
            const count = bytes.copy(buffer, 0, at, at + size);
            parts.connection.receive(buffer.subarray(0, count));
            buffer.fill(0xaa);
            at += count;
          }
          expect(parts.settle().events).toEqual(whole.settle().events);
          expect(Buffer.concat(parts.sent)).toEqual(Buffer.concat(whole.sent));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('nothing breaks, and nothing grows beyond its bounds', () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 200 }), fc.boolean(), (all, reads) => {
        const bench = new Bench();
        bench.reads = reads;
        bench.connection.receive(hello);
        bench.writable = false;
        const before = bench.sent.length;
        for (const one of all) bench.connection.receive(one);
        expect(bench.connection.streams.size).toBeLessThanOrEqual(limits.maxStreams);
        const bytes = Buffer.concat(bench.sent.slice(before)).length;
        expect(bytes).toBeLessThan(limits.maxUnsentBytes + 100);
        if (bench.isOver) expect(bench.connection.streams.size).toBe(0);
        bench.connection.lost();
        const ended = bench.events.filter((event) => event.endsWith(' closed'));
        expect(ended).toHaveLength(bench.streams.length);
      }),
      { numRuns: 500 },
    );
  });

  it('bytes that are no frames end the connection, or wait for more', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), fc.boolean(), (bytes, greeted) => {
        const bench = new Bench();
        if (greeted) bench.connection.receive(hello);
        bench.connection.receive(Buffer.from(bytes));
        expect(bench.connection.streams.size).toBeLessThanOrEqual(limits.maxStreams);
      }),
      { numRuns: 1_000 },
    );
  });
});

type Step =
  | { readonly kind: 'write'; readonly stream: number; readonly bytes: number }
  | { readonly kind: 'window'; readonly stream: number; readonly by: number }
  | { readonly kind: 'initial'; readonly window: number }
  | { readonly kind: 'writable'; readonly is: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    stream: fc.constantFrom(0, 1, 2),
    bytes: fc.constantFrom(1, 100, 16_384, 50_000),
  }),
  fc.record({
    kind: fc.constant('window' as const),
    stream: fc.constantFrom(-1, 0, 1, 2),
    by: fc.constantFrom(1, 1_000, 60_000),
  }),
  fc.record({ kind: fc.constant('initial' as const), window: fc.constantFrom(0, 10, 65_535) }),
  fc.record({ kind: fc.constant('writable' as const), is: fc.boolean() }),
);

it('what is written goes out whole and in order, within the windows, whoever holds it up', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const bench = new Bench({ maxUnsentBytes: 1_000_000 });
      bench.connection.receive(Buffer.concat([hello, open(1), open(3), open(5)]));
      const written: Buffer[] = [Buffer.alloc(0), Buffer.alloc(0), Buffer.alloc(0)];
      const windows = [65_535, 65_535, 65_535];
      let whole = 65_535;
      let initial = 65_535;
      let next = 0;
      const check = (): void => {
        const sent = [0, 0, 0];
        for (const { type, stream, payload: bytes } of bench.frames) {
          if (type !== frames.data) continue;
          expect(bytes.length).toBeLessThanOrEqual(16_384);
          const of = (stream - 1) / 2;
          const from = sent[of] ?? 0;
          expect(bytes.equals(written[of]?.subarray(from, from + bytes.length) ?? bytes)).toBe(
            true,
          );
          sent[of] = from + bytes.length;
        }
        expect(sent[0]! + sent[1]! + sent[2]!).toBeLessThanOrEqual(whole);
        sent.forEach((bytes, of) => expect(bytes).toBeLessThanOrEqual(windows[of] ?? 0));
      };
      for (const one of steps) {
        if (one.kind === 'write') {
          const message = Buffer.alloc(one.bytes, ++next);
          written[one.stream] = Buffer.concat([written[one.stream] ?? message, message]);
          bench.streams[one.stream]?.write(message);
        } else if (one.kind === 'window') {
          if (one.stream === -1) whole += one.by;
          else windows[one.stream] = (windows[one.stream] ?? 0) + one.by;
          const of = one.stream === -1 ? 0 : 2 * one.stream + 1;
          bench.connection.receive(frame(frames.windowUpdate, 0, of, uint32(one.by)));
        } else if (one.kind === 'initial') {
          // What was sent before may be more than is allowed now.
          for (const of of [0, 1, 2]) {
            windows[of] = Math.max(windows[of] ?? 0, (windows[of] ?? 0) + one.window - initial);
          }
          initial = one.window;
          bench.connection.receive(frame(frames.settings, 0, 0, setting(4, one.window)));
        } else {
          bench.writable = one.is;
          if (one.is) bench.connection.proceed();
        }
        check();
      }
      // All is let go: all arrives.
      bench.writable = true;
      bench.connection.receive(
        Buffer.concat([
          frame(frames.settings, 0, 0, setting(4, 65_535)),
          ...[0, 1, 3, 5].map((of) => frame(frames.windowUpdate, 0, of, uint32(10_000_000))),
        ]),
      );
      bench.connection.proceed();
      for (const of of [0, 1, 2]) {
        const parts = bench.frames.filter(
          ({ type, stream }) => type === frames.data && stream === 2 * of + 1,
        );
        const got = Buffer.concat(parts.map(({ payload: bytes }) => bytes));
        expect(got.equals(written[of] ?? got)).toBe(true);
      }
    }),
    { numRuns: 200 },
  );
});

it('a message for many first streams is framed once', () => {
  const bench = new Bench();
  bench.connection.receive(Buffer.concat([hello, open(1)]));
  const message = Buffer.alloc(40_000, 'x');
  bench.streams[0]?.write(message, true);
  const before = bench.frames.length;
  bench.connection.receive(frame(frames.windowUpdate, 0, 0, uint32(100_000)));
  bench.connection.receive(frame(frames.windowUpdate, 0, 1, uint32(100_000)));
  expect(bench.streams[0]?.write(message, true)).toBe(true);
  const again = bench.frames.slice(before).map(({ payload: bytes }) => bytes.length);
  expect(again).toEqual([16_384, 16_384, 40_000 - 2 * 16_384]);
});

it('what goes while it is written is no news to the writer', () => {
  const bench = new Bench();
  bench.connection.receive(Buffer.concat([hello, open(1)]));
  // As a socket that takes all at once, but only so much in one go.
  bench.writable = false;
  bench.onFlush = () => {
    bench.writable = true;
    bench.connection.proceed();
  };
  expect(bench.streams[0]?.write(Buffer.alloc(1_000))).toBe(true);
  expect(bench.events.filter((event) => event.endsWith('drained'))).toEqual([]);
  bench.onFlush = () => undefined;
  bench.writable = false;
  expect(bench.streams[0]?.write(Buffer.alloc(1_000))).toBe(false);
  bench.writable = true;
  bench.connection.proceed();
  expect(bench.events.at(-1)).toBe('1 drained');
});

it('a stream that is not read from holds its window and no more, and says when it is read', () => {
  const bench = new Bench();
  bench.reads = false;
  const part = Buffer.alloc(13_107, 'a');
  // A client that has not seen our SETTINGS yet takes the window to be what it is by default.
  const whole = Array.from({ length: 5 }, () => data(1, part));
  bench.connection.receive(Buffer.concat([hello, open(1), ...whole]));
  expect(bench.settle().events).toEqual([`1 POST ${path}`]);
  bench.streams[0]?.resume();
  expect(bench.settle().events[1]).toHaveLength(2 + 2 * 65_535);
  const opened = bench.frames.filter(({ type, stream }) => type === 8 && stream === 1);
  expect(opened.map(({ payload: by }) => by.readUInt32BE())).toEqual([65_535]);
  bench.streams[0]?.pause();
  bench.connection.receive(Buffer.concat([...whole, data(1, Buffer.from('b'))]));
  // RST_STREAM with FLOW_CONTROL_ERROR.
  expect(bench.frames.at(-1)).toMatchObject({ type: 3, stream: 1, payload: uint32(3) });
});

it('what a message still needs may come at once, beyond the window, and no more', () => {
  const bench = new Bench();
  bench.reads = false;
  bench.connection.receive(Buffer.concat([hello, open(1)]));
  bench.streams[0]?.expects(200_000);
  expect(bench.frames.at(-1)).toMatchObject({ type: 8, stream: 1, payload: uint32(200_000) });
  const all = Buffer.alloc(65_535 + 200_000, 'a');
  for (let at = 0; at < all.length; at += 16_384) {
    bench.connection.receive(data(1, all.subarray(at, at + 16_384)));
  }
  bench.connection.receive(data(1, Buffer.from('b')));
  expect(bench.frames.at(-1)).toMatchObject({ type: 3, stream: 1, payload: uint32(3) });
});

it('a client whose only stream waits is not read, and one of two does not hold up the other', () => {
  const bench = new Bench();
  bench.connection.receive(Buffer.concat([hello, open(1)]));
  const [first] = bench.streams;
  first?.pause();
  expect(bench.isRead).toBe(false);
  first?.resume();
  expect(bench.isRead).toBe(true);
  bench.connection.receive(open(3));
  first?.pause();
  bench.connection.receive(data(1, Buffer.from('kept')));
  expect(bench.isRead).toBe(true);
  bench.connection.receive(frame(frames.reset, 0, 3, uint32(8)));
  bench.connection.receive(data(1, Buffer.from('kept')));
  expect(bench.isRead).toBe(false);
  first?.reset(8);
  expect(bench.isRead).toBe(true);
});

it('one that leaves takes no new streams, and is over when the last has ended', () => {
  const bench = new Bench();
  bench.connection.receive(Buffer.concat([hello, open(1, flags.endStream)]));
  bench.connection.leave();
  bench.connection.receive(open(3));
  expect(bench.streams).toHaveLength(1);
  expect(bench.isOver).toBe(false);
  bench.streams[0]?.end();
  expect(bench.isOver).toBe(true);
  const types = bench.frames.map(({ type }) => type);
  expect(types.filter((type) => type === frames.goAway)).toHaveLength(1);
});

it('resets are earned again with time', () => {
  const bench = new Bench();
  bench.connection.receive(hello);
  let next = 1;
  const rapid = (count: number): void => {
    for (let i = 0; i < count; i++, next += 2) {
      bench.connection.receive(
        Buffer.concat([open(next), frame(frames.reset, 0, next, uint32(8))]),
      );
    }
  };
  rapid(20);
  expect(bench.isOver).toBe(false);
  bench.now = 5_000;
  rapid(5);
  expect(bench.isOver).toBe(false);
  rapid(1);
  expect(bench.isOver).toBe(true);
  // ENHANCE_YOUR_CALM.
  expect(bench.frames.at(-1)?.payload.readUInt32BE(4)).toBe(11);
});

it('a client whose header table is small is told once, in front of a block, that ours is empty', () => {
  const bench = new Bench();
  const small = frame(frames.settings, 0, 0, Buffer.concat([setting(1, 0), setting(1, 4_096)]));
  bench.connection.receive(Buffer.concat([hello, small, small, open(1)]));
  const block = Buffer.from([0x88]);
  bench.streams[0]?.respond(block);
  bench.streams[0]?.end(block);
  const blocks = bench.frames.filter(({ type }) => type === frames.headers);
  expect(blocks.map(({ payload: bytes }) => bytes.toString('hex'))).toEqual(['2088', '88']);
});

describe('frames that carry nothing', () => {
  const update = (of: number, by: number): Buffer => frame(frames.windowUpdate, 0, of, uint32(by));

  it('are a flood where nothing was sent that they could answer', () => {
    const bench = new Bench();
    bench.connection.receive(Buffer.concat([hello, open(1)]));
    for (let i = 0; i < 2_000; i++) bench.connection.receive(update(1, 1));
    expect(bench.isOver).toBe(true);
  });

  it('are none where they let us send: a window may be opened every 4 KiB, and pinged', () => {
    const bench = new Bench();
    bench.connection.receive(Buffer.concat([hello, open(1)]));
    const ping = frame(frames.ping, 0, 0, Buffer.alloc(8));
    for (let i = 0; i < 5_000; i++) {
      bench.streams[0]?.write(Buffer.alloc(4_096));
      bench.connection.receive(Buffer.concat([update(0, 4_096), update(1, 4_096), ping]));
    }
    expect(bench.isOver).toBe(false);
  });
});

it('a GOAWAY names no later stream than the one before', () => {
  const bench = new Bench();
  bench.connection.receive(Buffer.concat([hello, open(3)]));
  bench.connection.leave();
  bench.connection.receive(open(7));
  bench.connection.receive(frame(frames.ping, 0, 1, Buffer.alloc(8)));
  const said = bench.frames.filter(({ type }) => type === frames.goAway);
  expect(said.map(({ payload: bytes }) => bytes.readUInt32BE())).toEqual([3, 3]);
});

it('the last stream of one that leaves is reset before it is over', () => {
  const bench = new Bench();
  bench.connection.receive(Buffer.concat([hello, open(1)]));
  bench.connection.leave();
  let before: readonly number[] = [];
  bench.over = () => {
    before = bench.frames.map(({ type }) => type);
  };
  bench.streams[0]?.reset(8);
  expect(before.slice(-2)).toEqual([frames.goAway, frames.reset]);
});

it('what may not be shared is not kept: it is framed for its stream alone', () => {
  const bench = new Bench();
  bench.connection.receive(Buffer.concat([hello, open(1)]));
  const partsOf = (shareable: boolean): number => {
    const message = Buffer.alloc(1_000);
    bench.streams[0]?.write(message, shareable);
    const before = bench.sent.length;
    bench.streams[0]?.write(message, shareable);
    return bench.sent.length - before;
  };
  expect([partsOf(true), partsOf(false)]).toEqual([1, 2]);
});

it('a promise of a large frame costs nothing until it is kept', () => {
  const before = process.memoryUsage().arrayBuffers;
  const all = Array.from({ length: 2_000 }, () => {
    const bench = new Bench();
    // A head that says 16 KiB of a type that nobody knows.
    bench.connection.receive(Buffer.concat([hello, Buffer.from('00400020000000000000', 'hex')]));
    return bench;
  });
  expect(all.filter(({ isOver }) => isOver)).toEqual([]);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
});

it('what comes late of streams that were refused is no error', () => {
  const bench = new Bench({ resets: { burst: 1_000, perSecond: 1 }, maxUnsentBytes: 100_000 });
  const ids = Array.from({ length: 200 }, (_, i) => 2 * i + 1);
  bench.connection.receive(Buffer.concat([hello, ...ids.map((of) => open(of))]));
  expect(bench.streams).toHaveLength(limits.maxStreams);
  const late = ids.slice(limits.maxStreams);
  bench.connection.receive(
    Buffer.concat(late.flatMap((of) => [data(of, Buffer.from('x')), open(of, flags.endStream)])),
  );
  expect(bench.isOver).toBe(false);
});

it.each([
  ['a value over two lines', [['x', 'a\r\nb']]],
  ['a pseudo-header', [[':path', '/']]],
  ['a header of the connection', [['connection', 'close']]],
] as const)('trailers with %s are an error of their stream', (_what, fields) => {
  const bench = new Bench();
  const { endHeaders, endStream } = flags;
  const trailers = frame(frames.headers, endHeaders | endStream, 1, headerBlock(fields));
  bench.connection.receive(Buffer.concat([hello, open(1), trailers]));
  expect(bench.frames.at(-1)).toMatchObject({ type: frames.reset, payload: uint32(1) });
  expect(bench.isOver).toBe(false);
});

it('a probe is answered by its own bytes alone', () => {
  const bench = new Bench();
  bench.connection.receive(hello);
  let answers = 0;
  bench.connection.probe(() => answers++);
  const asked = bench.frames.at(-1)?.payload ?? Buffer.alloc(0);
  bench.connection.receive(frame(frames.ping, flags.ack, 0, Buffer.alloc(8)));
  expect(answers).toBe(0);
  bench.connection.receive(frame(frames.ping, flags.ack, 0, asked));
  bench.connection.receive(frame(frames.ping, flags.ack, 0, asked));
  expect(answers).toBe(1);
});
