import { Connection } from '../../../src/server/h2/connection.ts';
import { FirstBlocks } from '../../../src/server/h2/hpack-decoder.ts';
import type { ConnectionLimits } from '../../../src/server/h2/limits.ts';
import type { Outlet } from '../../../src/server/h2/outlet.ts';
import type { RequestHeaders } from '../../../src/server/h2/request-headers.ts';
import { greetingOf } from '../../../src/server/h2/settings.ts';
import { SharedFrames } from '../../../src/server/h2/shared-frames.ts';
import type { Stream } from '../../../src/server/h2/stream.ts';
import { frame, frames, type Frame } from '../../support/raw-http2.ts';

export const limits: ConnectionLimits = {
  maxStreams: 10,
  maxHeaderBytes: 2_048,
  resets: { burst: 20, perSecond: 1 },
  idleFrames: { burst: 1_000, perSecond: 1 },
  maxUnsentBytes: 4_096,
};

export const hello = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  frame(frames.settings, 0, 0),
]);

/** A connection without a socket, and what became of the bytes that it was given. */
export class Bench implements Outlet {
  readonly connection: Connection;
  readonly streams: Stream[] = [];
  /** In order; parts of a body are put together. */
  readonly events: string[] = [];
  readonly sent: Buffer[] = [];
  /** Whether streams are read from at once. */
  reads = true;
  writable = true;
  /** Whether the client is read from, as its streams have it. */
  isRead = true;
  now = 0;
  isOver = false;
  onFlush: () => void = () => undefined;
  #body: { id: number; bytes: Buffer[] } | undefined;

  constructor(of: Partial<ConnectionLimits> = {}) {
    const all = { ...limits, ...of };
    this.connection = new Connection({
      limits: all,
      outlet: this,
      shared: {
        frames: new SharedFrames(),
        firstBlocks: new FirstBlocks(),
        greeting: greetingOf(all),
      },
      now: () => this.now,
    });
  }

  /** The frames that were sent. */
  get frames(): readonly Frame[] {
    const all = Buffer.concat(this.sent);
    const found: Frame[] = [];
    for (let at = 0; at < all.length;) {
      const end = at + 9 + all.readUIntBE(at, 3);
      const payload = all.subarray(at + 9, end);
      const stream = all.readUInt32BE(at + 5);
      found.push({ type: all[at + 3] ?? 0, flags: all[at + 4] ?? 0, stream, payload });
      at = end;
    }
    return found;
  }

  send(bytes: Uint8Array): void {
    this.sent.push(Buffer.from(bytes));
  }

  flush(): void {
    this.onFlush();
  }

  read(on: boolean): void {
    this.isRead = on;
  }

  request(stream: Stream, headers: RequestHeaders): void {
    this.streams.push(stream);
    this.#event(`${stream.id} ${headers.method} ${headers.path}`);
    stream.listen({
      data: (bytes) => {
        if (this.#body?.id !== stream.id) {
          this.settle();
          this.#body = { id: stream.id, bytes: [] };
        }
        this.#body?.bytes.push(Buffer.from(bytes));
      },
      ended: () => this.#event(`${stream.id} ended`),
      drained: () => this.#event(`${stream.id} drained`),
      closed: () => this.#event(`${stream.id} closed`),
    });
    if (this.reads) stream.resume();
  }

  over(): void {
    this.isOver = true;
    this.#event('over');
  }

  /** So that all that came is in `events`. */
  settle(): this {
    const body = this.#body;
    this.#body = undefined;
    if (body === undefined) return this;
    const bytes = Buffer.concat(body.bytes);
    if (bytes.length > 0) this.events.push(`${body.id} ${bytes.toString('hex')}`);
    return this;
  }

  #event(what: string): void {
    this.settle();
    this.events.push(what);
  }
}
