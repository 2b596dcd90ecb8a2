import type { ServerHttp2Stream } from 'node:http2';
import type { Timers } from '@watershed/runtime/clock.ts';
import type { Encoding } from './compression.ts';
import type { Body, Wire } from './grpc-call.ts';
import { responseHeaders, trailersOf } from './requests.ts';
import { status, type Status } from './port.ts';

/** A stream of node:http2. */
export class Http2Wire implements Wire, Body {
  readonly #stream: ServerHttp2Stream;
  #status: Status = { code: status.ok, message: '' };

  constructor(stream: ServerHttp2Stream, timers: Timers) {
    this.#stream = stream;
    // Else it would flow as soon as somebody listens.
    stream.pause();
    stream.on('wantTrailers', () => stream.sendTrailers(trailersOf(this.#status)));
    resetWhenDone(stream, timers);
  }

  respond(encoding: Encoding | undefined): void {
    this.#stream.respond(responseHeaders(encoding), { waitForTrailers: true });
  }

  get body(): Body {
    return this;
  }

  get isReady(): boolean {
    return !this.#stream.destroyed && !this.#stream.writableNeedDrain;
  }

  write(bytes: Uint8Array): boolean {
    return this.#stream.destroyed || this.#stream.write(bytes);
  }

  end(ended: Status): void {
    this.#status = ended;
    if (!this.#stream.destroyed) this.#stream.end();
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** Node opens a stream's window by itself. */
  expects(): void {
    return undefined;
  }

  closed(): void {
    return undefined;
  }
}

/** A reset overtakes trailers that are not on the wire yet. */
const resetAfterMs = 200;

/**
 * A stream that was answered is over when the client has said all. One that does not end its side
 * must not keep the stream open for ever.
 */
export function resetWhenDone(stream: ServerHttp2Stream, timers: Timers): void {
  stream.on('finish', () => {
    if (stream.destroyed || stream.readableEnded) return;
    stream.resume();
    const timer = timers.after(resetAfterMs, () => stream.close());
    stream.on('close', () => timer.cancel());
  });
}
