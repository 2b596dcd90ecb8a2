import {
  defaultWindow,
  errorCodes,
  frameFlags,
  frameHead,
  frameTypes,
  maxFrameBytes,
  maxWindow,
  resetFrame,
  windowFrame,
  type ErrorCode,
} from './frames.ts';
import type { HeaderList } from './header-reader.ts';
import { Held } from './held.ts';
import { problemOfTrailers } from './request-headers.ts';

/** What happens to a stream. Nothing is called after `closed`. */
export interface StreamEvents {
  /** Some of the body; valid during the call only. */
  data(bytes: Buffer): void;
  /** The client will send no more. */
  ended(): void;
  /** All that was written is on its way. */
  drained(): void;
  /** The stream is over, for whatever reason. */
  closed(): void;
}

/** A stream's connection, as the stream sees it. */
export interface StreamHost {
  /** What the connection's window still allows; the stream takes from it. */
  sendWindow: number;
  /** Whether the way out takes more. */
  readonly writable: boolean;
  /** The bytes of a message as DATA frames of stream 1. */
  shared(message: Uint8Array): Buffer | undefined;
  send(bytes: Uint8Array): void;
  /** A whole block. */
  sendHeaders(stream: number, flags: number, block: Uint8Array): void;
  /** Behind what was sent in one go. */
  flush(): void;
  /** Whether the stream is read. One of several must not hold up the others. */
  read(on: boolean): void;
  /** The stream has more, and neither its own window nor its own side holds it up. */
  wait(stream: Stream): void;
  /** Both sides are done, or it was reset. */
  remove(stream: Stream, resetByUs: boolean): void;
}

const ignored: StreamEvents = {
  data: () => undefined,
  ended: () => undefined,
  drained: () => undefined,
  closed: () => undefined,
};

/** One stream of a connection (RFC 9113, 5), from its request's headers on. */
export class Stream {
  readonly id: number;
  readonly #host: StreamHost;
  /** What of our window is open. A smaller one would not hold for what comes before our SETTINGS. */
  #receiveLeft = defaultWindow;
  #events: StreamEvents = ignored;
  /** May fall below zero: a peer may take back what it gave (6.9.2). */
  #sendWindow: number;
  #pending: Uint8Array[] | undefined;
  /** Of the first, what was sent. */
  #offset = 0;
  #trailers: Uint8Array | undefined;
  #waits = false;
  #writing = false;
  #paused = true;
  #held: Held | undefined;
  /** The client has ended, and nobody was told yet. */
  #endHeld = false;
  /** By the `content-length`; -1: nobody knows. */
  #bodyLeft: number;
  #remoteEnded = false;
  #localEnded = false;
  #closed = false;

  constructor(
    id: number,
    host: StreamHost,
    how: { readonly sendWindow: number; readonly bodyBytes: number },
  ) {
    this.id = id;
    this.#host = host;
    this.#sendWindow = how.sendWindow;
    this.#bodyLeft = how.bodyBytes;
  }

  /** The client has ended its side. */
  get remoteEnded(): boolean {
    return this.#remoteEnded;
  }

  /** Our side has ended, and all that was written is on its way. */
  get localEnded(): boolean {
    return this.#localEnded;
  }

  /** Of what was written. */
  get unsentBytes(): number {
    const written = this.#pending?.reduce((sum, { length }) => sum + length, 0) ?? 0;
    return written - this.#offset;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether what is written goes at once, if it is not too long for the windows. */
  get isReady(): boolean {
    const host = this.#host;
    if (this.#closed || this.#pending !== undefined || this.#sendWindow <= 0) return false;
    return host.sendWindow > 0 && host.writable;
  }

  listen(events: StreamEvents): void {
    this.#events = events;
  }

  /** A header block, in front of any body. */
  respond(block: Uint8Array): void {
    if (this.#closed) return;
    this.#host.sendHeaders(this.id, 0, block);
    this.#host.flush();
  }

  /**
   * `false`: it has to wait; `drained` tells when it went. `shareable`: other streams may be given
   * the same bytes, and they may be kept.
   */
  write(bytes: Uint8Array, shareable = false): boolean {
    if (this.#closed || this.#localEnded || this.#trailers !== undefined) return true;
    if (shareable && this.#writeShared(bytes)) this.#host.flush();
    else {
      this.#writing = true;
      this.#writeOwn(bytes);
      this.#host.flush();
      this.#writing = false;
    }
    return !this.#waits;
  }

  /** Ends our side behind all that was written: with a block of trailers, or without. */
  end(trailers: Uint8Array = noTrailers): void {
    if (this.#closed || this.#localEnded) return;
    this.#trailers = trailers;
    this.#waits = false;
    this.#proceed();
    this.#host.flush();
  }

  reset(code: ErrorCode): void {
    if (this.#closed) return;
    // Before it is removed: it may be the last of a connection that ends with it.
    this.#host.send(resetFrame(this.id, code));
    this.#host.remove(this, true);
    this.#host.flush();
  }

  /** It begins so. What comes meanwhile is kept: no more than the window. */
  pause(): void {
    this.#paused = true;
    this.#host.read(false);
  }

  resume(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    this.#host.read(true);
    this.#handOnHeld();
    if (this.#endHeld && !this.#paused) {
      this.#endHeld = false;
      this.#events.ended();
    }
    this.#host.flush();
  }

  /** The client may send so many more than its window: they have somewhere to go. */
  expects(bytes: number): void {
    if (this.#closed || this.#remoteEnded) return;
    const more = Math.min(bytes, mostExpected);
    this.#receiveLeft += more;
    this.#host.send(windowFrame(this.id, more));
    this.#host.flush();
  }

  /** A DATA frame is about to come; what is wrong with it. */
  expect(bytes: number): ErrorCode | undefined {
    this.#receiveLeft -= bytes;
    return this.#receiveLeft < 0 ? errorCodes.flowControl : undefined;
  }

  receive(bytes: Buffer): void {
    if (this.#bodyLeft !== -1) {
      this.#bodyLeft -= bytes.length;
      if (this.#bodyLeft < 0) return this.reset(errorCodes.protocol);
    }
    // Nobody wants it any more.
    if (this.#localEnded || this.#trailers !== undefined) return this.#credit();
    if (!this.#paused) return this.#deliver(bytes);
    this.#held ??= new Held();
    this.#held.append(bytes);
    return this.#host.read(false);
  }

  receiveEnd(): void {
    if (this.#bodyLeft > 0) return this.reset(errorCodes.protocol);
    this.#remoteEnded = true;
    if (this.#localEnded) return this.#host.remove(this, false);
    if (this.#trailers !== undefined) return undefined;
    if (this.#paused) this.#endHeld = true;
    else this.#events.ended();
    return undefined;
  }

  receiveTrailers({ endStream, fields, dependsOnItself }: HeaderList): void {
    if (this.#remoteEnded) return this.reset(errorCodes.streamClosed);
    const malformed = !endStream || dependsOnItself || problemOfTrailers(fields) !== undefined;
    return malformed ? this.reset(errorCodes.protocol) : this.receiveEnd();
  }

  receiveWindow(bytes: number): void {
    if (bytes === 0) this.reset(errorCodes.protocol);
    else if (!this.growSendWindow(bytes)) this.reset(errorCodes.flowControl);
  }

  /** The peer lets us send so many more, or fewer. */
  growSendWindow(bytes: number): boolean {
    this.#sendWindow += bytes;
    if (this.#sendWindow > maxWindow) return false;
    if (this.#sendWindow > 0) this.#proceed();
    return true;
  }

  /** Goes on where it waited. */
  proceed(): void {
    if (!this.#closed) this.#proceed();
  }

  /** To be called by the connection alone. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#pending = undefined;
    this.#held = undefined;
    if (this.#paused) this.#host.read(true);
    const events = this.#events;
    this.#events = ignored;
    events.closed();
  }

  #handOnHeld(): void {
    const held = this.#held;
    if (held === undefined) return;
    const all = held.handOn(
      (bytes) => this.#events.data(bytes),
      () => !this.#paused && !this.#closed,
    );
    if (!all) return;
    this.#held = undefined;
    this.#credit();
  }

  #deliver(bytes: Buffer): void {
    this.#events.data(bytes);
    if (!this.#closed) this.#credit();
  }

  /** Opens our window again when half of it is used up: what is not held was consumed. */
  #credit(): void {
    const used = defaultWindow - this.#receiveLeft;
    if (this.#remoteEnded || this.#closed || this.#held !== undefined) return;
    if (2 * used < defaultWindow) return;
    this.#receiveLeft = defaultWindow;
    this.#host.send(windowFrame(this.id, used));
  }

  #writeShared(bytes: Uint8Array): boolean {
    const host = this.#host;
    const { length } = bytes;
    if (this.id !== 1 || this.#pending !== undefined || !host.writable) return false;
    if (length > this.#sendWindow || length > host.sendWindow) return false;
    const frames = host.shared(bytes);
    if (frames === undefined) return false;
    this.#sendWindow -= length;
    host.sendWindow -= length;
    host.send(frames);
    return true;
  }

  #writeOwn(bytes: Uint8Array): void {
    if (this.#pending === undefined) this.#pending = [bytes];
    else this.#pending.push(bytes);
    this.#waits = !this.#sendPending();
  }

  #proceed(): void {
    if (!this.#sendPending()) return;
    if (this.#trailers !== undefined) this.#sendTrailers(this.#trailers);
    else if (this.#waits) {
      this.#waits = false;
      // Else whoever writes is told by what `write` gives.
      if (!this.#writing) this.#events.drained();
    }
  }

  /** Whether all that is pending went. */
  #sendPending(): boolean {
    const host = this.#host;
    for (let message = this.#pending?.[0]; message !== undefined; message = this.#pending?.[0]) {
      if (!host.writable || host.sendWindow <= 0) {
        host.wait(this);
        return false;
      }
      const rest = message.length - this.#offset;
      const bytes = Math.min(rest, this.#sendWindow, host.sendWindow, maxFrameBytes);
      if (bytes <= 0 && rest > 0) return false;
      host.send(frameHead(bytes, frameTypes.data, 0, this.id));
      host.send(
        bytes === message.length ? message : message.subarray(this.#offset, this.#offset + bytes),
      );
      this.#sendWindow -= bytes;
      host.sendWindow -= bytes;
      this.#offset += bytes;
      if (this.#offset < message.length) continue;
      this.#offset = 0;
      if (this.#pending?.length === 1) this.#pending = undefined;
      else this.#pending?.shift();
    }
    return true;
  }

  #sendTrailers(block: Uint8Array): void {
    const { endStream } = frameFlags;
    this.#localEnded = true;
    this.#trailers = undefined;
    if (block === noTrailers) this.#host.send(frameHead(0, frameTypes.data, endStream, this.id));
    else this.#host.sendHeaders(this.id, endStream, block);
    if (this.#remoteEnded) this.#host.remove(this, false);
  }
}

/** Of one message. */
const mostExpected = 1024 * 1024;
const noTrailers = new Uint8Array(0);
