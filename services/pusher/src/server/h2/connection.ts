import { Budget, IdleFrames, spendOrEnd } from './budget.ts';
import { FrameReader } from './frame-reader.ts';
import {
  broken,
  ConnectionError,
  defaultWindow,
  errorCodes,
  expectBytes,
  frameFlags,
  frameHead,
  frameOf,
  frameTypes,
  goAwayFrame,
  maxWindow,
  ownWindow,
  overflow,
  resetFrame,
  windowFrame,
  type ErrorCode,
} from './frames.ts';
import { emptyTable } from './header-block.ts';
import { HeaderReader, problemOfPriority, unpadded, type HeaderList } from './header-reader.ts';
import { wellFormed } from './request-headers.ts';
import type { ConnectionLimits } from './limits.ts';
import type { ConnectionOptions, Outlet, Shared } from './outlet.ts';
import { settingsOf } from './settings.ts';
import { Streams } from './streams.ts';
import { Stream, type StreamHost } from './stream.ts';

const probeBytes = Buffer.from('watershd', 'latin1');

/**
 * A server's side of HTTP/2 (RFC 9113) as a state machine: bytes in, bytes out, and streams that
 * are told what happens to them. It knows no socket. What it holds is bounded by its limits.
 */
export class Connection extends FrameReader implements StreamHost {
  readonly streams = new Streams();
  readonly #limits: ConnectionLimits;
  readonly #outlet: Outlet;
  readonly #shared: Shared;
  readonly #headers: HeaderReader;
  readonly #resets: Budget;
  readonly #idleFrames: IdleFrames;
  #settled = false;
  /** Nothing but CONTINUATION may come. */
  #inHeaders = false;
  #leaving = false;
  #ended = false;
  #reading = false;
  /** Since the last frame that carried nothing. */
  #sentBytes = 0;
  /** Answers that the way out has not taken. */
  #unsent = 0;
  sendWindow = defaultWindow;
  /** Streams may have more to send. */
  someWait = false;
  #initialWindow = defaultWindow;
  #receiveLeft = ownWindow;
  /** Of the last DATA frame: most connections have one. */
  #dataStream: Stream | undefined;
  #probe: (() => void) | undefined;
  /** Whether the client, whose table is small, was told that we use none. */
  #table: 'owed' | 'empty' | undefined;
  /** The last stream that we say we serve; what was said once is not raised again. */
  #lastServed = maxWindow;

  constructor({ limits, outlet, shared, now }: ConnectionOptions) {
    super();
    this.#limits = limits;
    this.#outlet = outlet;
    this.#shared = shared;
    this.#headers = new HeaderReader(limits.maxHeaderBytes, shared.firstBlocks);
    this.#resets = new Budget(limits.resets, now);
    this.#idleFrames = new IdleFrames(limits.idleFrames, now);
  }

  /** What we are is said with the first answer: a client does not wait for it (3.4). */
  protected begin(): void {
    this.send(this.#shared.greeting);
  }

  /** What came of the client. Once the connection is over, nothing is made of it. */
  receive(bytes: Buffer): void {
    if (this.#ended) return;
    this.#reading = true;
    try {
      this.readFrames(bytes);
      if (this.#unsent > this.#limits.maxUnsentBytes) {
        throw new ConnectionError(errorCodes.enhanceYourCalm, 'answers are not read');
      }
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      if (!this.#ended) this.#fail(error.code, error.message);
    } finally {
      this.#reading = false;
    }
    this.flush();
  }

  /** The way out takes more. Gives whether streams still wait for it. */
  proceed(): boolean {
    this.#unsent = 0;
    return this.#serveWaiting();
  }

  /** `answered` is called when the client shows that it is there. */
  probe(answered: () => void): void {
    if (!this.hasBegun) return;
    this.#probe = answered;
    this.send(frameOf(frameTypes.ping, 0, 0, probeBytes));
    this.flush();
  }

  /** Takes no new streams; it is over when those that are open are. */
  leave(): void {
    if (this.#leaving || this.#ended) return;
    this.#leaving = true;
    this.#goAway(errorCodes.none, '');
    if (this.streams.size === 0) this.#end();
    else this.flush();
  }

  /** The way to the client is gone. */
  lost(): void {
    this.#ended = true;
    for (const stream of this.streams.clear()) stream.close();
  }

  get writable(): boolean {
    return this.#outlet.writable;
  }

  shared(message: Uint8Array): Buffer | undefined {
    return this.#shared.frames.of(message);
  }

  send(bytes: Uint8Array): void {
    if (!this.#outlet.writable) this.#unsent += bytes.length;
    this.#sentBytes += bytes.length;
    this.#outlet.send(bytes);
  }

  sendHeaders(stream: number, flags: number, block: Uint8Array): void {
    const owed = this.#table === 'owed';
    if (owed) this.#table = 'empty';
    const whole = owed ? Buffer.concat([emptyTable, block]) : block;
    this.send(frameOf(frameTypes.headers, flags | frameFlags.endHeaders, stream, whole));
  }

  flush(): void {
    if (!this.#reading) this.#outlet.flush();
  }

  read(on: boolean): void {
    if (on || this.streams.size === 1) this.#outlet.read(on);
  }

  wait(stream: Stream): void {
    this.streams.wait(stream);
    this.someWait = true;
  }

  remove(stream: Stream, resetByUs: boolean): void {
    if (resetByUs && !this.#resets.spend()) {
      // Within a call from elsewhere nothing may be thrown: it ends at once, or when all is read.
      this.#fail(errorCodes.enhanceYourCalm, 'too many resets');
      return;
    }
    this.streams.remove(stream, resetByUs);
    if (stream === this.#dataStream) this.#dataStream = undefined;
    stream.close();
    if (this.#leaving && this.streams.size === 0) this.#end();
  }

  protected frame(type: number, flags: number, stream: number, payload: Buffer): void {
    if (this.#ended) return;
    if (!this.#settled && type !== frameTypes.settings) throw broken('no SETTINGS at first');
    if (this.#inHeaders && type !== frameTypes.continuation) throw broken('no CONTINUATION');
    switch (type) {
      case frameTypes.data:
        this.#paddedData(flags, stream, payload);
        break;
      case frameTypes.headers:
        if (stream % 2 === 0) throw broken('HEADERS of a stream that no client may open');
        this.#listed(this.#headers.headers(stream, flags, payload));
        break;
      case frameTypes.continuation:
        this.#listed(this.#headers.continuation(stream, flags, payload));
        break;
      case frameTypes.priority:
        this.#priority(stream, payload);
        break;
      case frameTypes.reset:
        this.#reset(stream, payload);
        break;
      case frameTypes.settings:
        this.#settings(flags, stream, payload);
        break;
      case frameTypes.ping:
        this.#ping(flags, stream, payload);
        break;
      case frameTypes.windowUpdate:
        this.#windowUpdate(stream, payload);
        break;
      case frameTypes.pushPromise:
        throw broken('PUSH_PROMISE of a client');
      case frameTypes.goAway:
        if (stream !== 0) throw broken('GOAWAY of a stream');
        expectBytes(payload, 8, Number.POSITIVE_INFINITY);
        this.#idleFrame();
        break;
      default:
        this.#idleFrame();
    }
  }

  protected dataBegins(id: number, bytes: number): void {
    if (this.#ended) return;
    if (!this.#settled) throw broken('no SETTINGS at first');
    if (this.#inHeaders) throw broken('no CONTINUATION');
    if (this.#dataStream?.id !== id) {
      if (this.streams.isIdle(id)) throw broken('DATA of a stream that is not open');
      this.#dataStream = this.streams.get(id);
    }
    this.#receiveLeft -= bytes;
    if (this.#receiveLeft < 0) throw new ConnectionError(errorCodes.flowControl, 'too much DATA');
    // Each stream bounds what is held; the connection's window would let one hold up the others.
    if (2 * this.#receiveLeft < ownWindow) {
      this.send(windowFrame(0, ownWindow - this.#receiveLeft));
      this.#receiveLeft = ownWindow;
    }
    if (bytes === 0) this.#idleFrame();
    const stream = this.#dataStream;
    if (stream === undefined) return this.#late(id);
    const problem = stream.remoteEnded ? errorCodes.streamClosed : stream.expect(bytes);
    if (problem === undefined) return undefined;
    this.#dataStream = undefined;
    return stream.reset(problem);
  }

  protected dataPart(bytes: Buffer): void {
    if (!this.#ended) this.#dataStream?.receive(bytes);
  }

  protected dataEnds(ends: boolean): void {
    if (ends && !this.#ended) this.#dataStream?.receiveEnd();
  }

  #paddedData(flags: number, id: number, payload: Buffer): void {
    const content = unpadded(flags, payload);
    this.dataBegins(id, payload.length);
    this.dataPart(content);
    this.dataEnds((flags & frameFlags.endStream) !== 0);
  }

  #listed(list: HeaderList | undefined): void {
    this.#inHeaders = list === undefined;
    if (list === undefined) return;
    const { stream: id } = list;
    const stream = this.streams.get(id);
    if (stream !== undefined) return stream.receiveTrailers(list);
    if (id <= this.streams.lastId) {
      const byUs = this.streams.resetByUs(id);
      if (byUs === true) return this.#idleFrame();
      if (byUs === undefined) throw broken('HEADERS of a stream with a smaller number');
      throw new ConnectionError(errorCodes.streamClosed, 'HEADERS of a stream that is over');
    }
    this.streams.lastId = id;
    if (this.#leaving) return this.#refuse(id, errorCodes.refusedStream);
    return this.#open(list);
  }

  #open(list: HeaderList): undefined {
    const { stream: id, endStream } = list;
    const { maxStreams, maxHeaderBytes } = this.#limits;
    const headers = wellFormed(list, maxHeaderBytes);
    if (headers === undefined) return this.#refuse(id, errorCodes.protocol);
    if (this.streams.size >= maxStreams) return this.#refuse(id, errorCodes.refusedStream);
    const { bodyBytes } = headers;
    const stream = new Stream(id, this, { sendWindow: this.#initialWindow, bodyBytes });
    this.streams.add(stream);
    if (endStream) stream.receiveEnd();
    this.#outlet.request(stream, headers);
    return undefined;
  }

  #refuse(id: number, code: ErrorCode): undefined {
    spendOrEnd(this.#resets, 'too many resets');
    this.streams.remember(id, true);
    this.send(resetFrame(id, code));
    return undefined;
  }

  #priority(id: number, payload: Buffer): void {
    if (id === 0) throw broken('PRIORITY of the connection');
    this.#idleFrame();
    const problem = problemOfPriority(id, payload);
    if (problem === undefined) return;
    const stream = this.streams.get(id);
    if (stream === undefined) throw new ConnectionError(problem, 'a wrong PRIORITY');
    stream.reset(problem);
  }

  #reset(id: number, payload: Buffer): void {
    expectBytes(payload, 4);
    if (this.streams.isIdle(id)) throw broken('RST_STREAM of a stream that is not open');
    const stream = this.streams.get(id);
    if (stream === undefined) return this.#idleFrame();
    spendOrEnd(this.#resets, 'too many resets');
    return this.remove(stream, false);
  }

  #settings(flags: number, id: number, payload: Buffer): void {
    if (id !== 0) throw broken('SETTINGS of a stream');
    this.#idleFrame();
    if ((flags & frameFlags.ack) !== 0) {
      expectBytes(payload, 0);
      if (!this.#settled) throw broken('no SETTINGS at first');
      return;
    }
    this.#settled = true;
    const { initialWindow, smallTable } = settingsOf(payload);
    this.send(frameHead(0, frameTypes.settings, frameFlags.ack, 0));
    if (smallTable) this.#table ??= 'owed';
    if (initialWindow === undefined) return;
    const growth = initialWindow - this.#initialWindow;
    this.#initialWindow = initialWindow;
    for (const stream of this.streams.open()) if (!stream.growSendWindow(growth)) throw overflow();
  }

  #ping(flags: number, id: number, payload: Buffer): void {
    if (id !== 0) throw broken('PING of a stream');
    expectBytes(payload, 8);
    this.#idleFrame();
    if ((flags & frameFlags.ack) === 0) {
      this.send(frameOf(frameTypes.ping, frameFlags.ack, 0, payload));
    } else if (payload.equals(probeBytes)) {
      const answered = this.#probe;
      this.#probe = undefined;
      answered?.();
    }
  }

  #windowUpdate(id: number, payload: Buffer): void {
    expectBytes(payload, 4);
    this.#idleFrame();
    const growth = payload.readUInt32BE(0) & 0x7fff_ffff;
    if (id !== 0) {
      if (this.streams.isIdle(id)) throw broken('WINDOW_UPDATE of a stream that is not open');
      this.streams.get(id)?.receiveWindow(growth);
      return;
    }
    if (growth === 0) throw broken('a WINDOW_UPDATE of 0');
    this.sendWindow += growth;
    if (this.sendWindow > maxWindow) throw overflow();
    this.#serveWaiting();
  }

  #idleFrame(): void {
    this.#idleFrames.count(this.#sentBytes);
    this.#sentBytes = 0;
  }

  /** DATA of a stream that is over: on its way when we reset it, or wrong. */
  #late(id: number): void {
    this.#idleFrame();
    if (this.streams.resetByUs(id) !== true) this.send(resetFrame(id, errorCodes.streamClosed));
  }

  /** In turns: each that has more goes behind the others. */
  #serveWaiting(): boolean {
    while (this.someWait && this.writable && this.sendWindow > 0) {
      const stream = this.streams.nextWaiting();
      if (stream === undefined) this.someWait = false;
      else stream.proceed();
    }
    return this.someWait && this.sendWindow > 0;
  }

  #fail(code: ErrorCode, why: string): void {
    this.#goAway(code, why);
    this.#end();
  }

  #goAway(code: ErrorCode, why: string): void {
    // Who does not speak HTTP/2 understands none (3.4).
    if (!this.hasBegun) return;
    this.#lastServed = Math.min(this.#lastServed, this.streams.lastId);
    this.send(goAwayFrame(this.#lastServed, code, why));
  }

  #end(): void {
    this.lost();
    this.#outlet.flush();
    this.#outlet.over();
  }
}
