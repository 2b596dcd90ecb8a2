import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { beforeEach, expect, it } from 'vitest';
import { NetWire } from '../../src/server/net-wire.ts';
import { status } from '../../src/server/port.ts';
import { flags, frame, frames, grpcHeaders, uint32 } from '../support/raw-http2.ts';
import { Bench, hello } from './h2/support.ts';

const ok = { code: status.ok, message: '' };
let bench: Bench;
let time: VirtualTime;

beforeEach(() => {
  bench = new Bench();
  time = new VirtualTime();
});

/** A call of a client that has opened 64 KiB, and says no more when it has `ended`. */
function wire(ended: boolean): NetWire {
  const flag = flags.endHeaders | (ended ? flags.endStream : 0);
  bench.connection.receive(
    Buffer.concat([hello, frame(frames.headers, flag, 1, grpcHeaders('/a.B/C'))]),
  );
  const [stream] = bench.streams;
  if (stream === undefined) throw new Error('no stream');
  return new NetWire(stream, time);
}

/** The types of what was sent of the stream. */
function sent(): readonly number[] {
  return bench.frames.filter(({ stream }) => stream === 1).map(({ type }) => type);
}

function read(bytes: number): void {
  bench.connection.receive(
    Buffer.concat([0, 1].map((of) => frame(frames.windowUpdate, 0, of, uint32(bytes)))),
  );
}

it('a client that was answered and does not end its side is let go', async () => {
  wire(false).end(ok);
  expect(sent()).toEqual([frames.headers]);
  await time.advance(1_000);
  expect(bench.frames.at(-1)).toMatchObject({ type: frames.reset, payload: uint32(0) });
  expect(bench.connection.streams.size).toBe(0);
});

it.each([true, false])(
  'a client that reads slowly gets all, and its status (%s)',
  async (ended) => {
    const one = wire(ended);
    one.body.write(Buffer.alloc(500_000), false);
    one.end(ok);
    for (let i = 0; i < 40 && sent().at(-1) === frames.data; i++) {
      await time.advance(9_000);
      read(16_000);
    }
    expect(sent().at(-1)).toBe(frames.headers);
    const bytes = bench.frames.reduce(
      (sum, { type, payload }) => sum + (type === frames.data ? payload.length : 0),
      0,
    );
    expect(bytes).toBe(500_000);
    await time.advance(20_000);
    expect(bench.connection.streams.size).toBe(0);
  },
);

it.each([true, false])(
  'a client that reads nothing of its answer is let go (%s)',
  async (ended) => {
    const one = wire(ended);
    one.body.write(Buffer.alloc(500_000), false);
    one.end(ok);
    await time.advance(5_000);
    expect(bench.connection.streams.size).toBe(1);
    await time.advance(20_000);
    expect(bench.frames.at(-1)).toMatchObject({ type: frames.reset, payload: uint32(8) });
    expect(bench.connection.streams.size).toBe(0);
  },
);

it('no timer is left of a stream that is over', async () => {
  wire(false).end(ok);
  bench.connection.lost();
  expect(time.pending).toBe(0);
});
