import { Budget, spendOrEnd } from './budget.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';
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
  overflow,
  resetFrame,
  settingIds,
  settingsFrame,
  windowFrame,
  type ErrorCode,
} from './frames.ts';
import { HeaderReader, unpadded, type HeaderList } from './header-reader.ts';
import { bodyBytesOf, problemOf, problemOfTrailers, RequestHeaders } from './request-headers.ts';
import type { ConnectionOptions } from './outlet.ts';
import { initialWindowOf } from './settings.ts';
import { Streams } from './streams.ts';
import { Stream, type StreamHost } from './stream.ts';

const probeBytes = Buffer.from('watershd', 'latin1');

/**
 * A server's side of HTTP/2 (RFC 9113) as a state machine: bytes in, bytes out, and streams that
 * are told what happens to them. It knows no socket. What it holds is bounded by its limits.
 */
export class Connection implements StreamHost, FrameSink {
  readonly #options: ConnectionOptions;
  readonly #reader = new FrameReader(this);
  readonly #headers: HeaderReader;
  readonly #resets: Budget;
  readonly #idleFrames: Budget;
  readonly #streams = new Streams();
  #settled = false;
  #leaving = false;
  #ended = false;
  #reading = false;
  /** Answers that the way out has not taken. */
  #unsent = 0;
  sendWindow = defaultWindow;
  #initialWindow = defaultWindow;
  #receiveLeft = defaultWindow;
  /** Of the DATA frame that is being read. */
  #dataStream: Stream | undefined;
  #probe: (() => void) | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { limits, now } = options;
    this.#headers = new HeaderReader(limits.maxHeaderBytes, options.shared.firstBlocks);
    this.#resets = new Budget(limits.resets, now);
    this.#idleFrames = new Budget(limits.idleFrames, now);
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** Says what we are. */
  start(): void {
    const { maxStreams, maxHeaderBytes } = this.#options.limits;
    this.send(
      settingsFrame([
        [settingIds.maxConcurrentStreams, maxStreams],
        [settingIds.maxHeaderListSize, maxHeaderBytes],
      ]),
    );
    this.flush();
  }

  /** What came of the client. Once the connection is over, nothing is made of it. */
  receive(bytes: Buffer): void {
    if (this.#ended) return;
    this.#reading = true;
    try {
      this.#reader.read(bytes);
      if (this.#unsent > this.#options.limits.maxUnsentBytes) {
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
    this.#probe = answered;
    this.send(frameOf(frameTypes.ping, 0, 0, probeBytes));
    this.flush();
  }

  /** Takes no new streams; it is over when those that are open are. */
  leave(): void {
    if (this.#leaving || this.#ended) return;
    this.#leaving = true;
    this.send(goAwayFrame(this.#streams.lastId, errorCodes.none, ''));
    if (this.#streams.size === 0) this.#end();
    else this.flush();
  }

  /** The way to the client is gone. */
  lost(): void {
    this.#ended = true;
    this.#closeStreams();
  }

  get writable(): boolean {
    return this.#options.outlet.writable;
  }

  shared(message: Uint8Array): Buffer | undefined {
    return this.#options.shared.frames.of(message);
  }

  send(bytes: Uint8Array): void {
    const { outlet } = this.#options;
    if (!outlet.writable) this.#unsent += bytes.length;
    outlet.send(bytes);
  }

  flush(): void {
    if (!this.#reading) this.#options.outlet.flush();
  }

  wait(stream: Stream): void {
    this.#streams.wait(stream);
  }

  remove(stream: Stream, resetByUs: boolean): void {
    if (resetByUs && !this.#resets.spend()) {
      // Within a call from elsewhere nothing may be thrown: it ends at once, or when all is read.
      this.#fail(errorCodes.enhanceYourCalm, 'too many resets');
      return;
    }
    this.#streams.remove(stream, resetByUs);
    stream.close();
    if (this.#leaving && this.#streams.size === 0) this.#end();
  }

  frame(type: number, flags: number, stream: number, payload: Buffer): void {
    if (this.#ended) return;
    if (!this.#settled && type !== frameTypes.settings) throw broken('no SETTINGS at first');
    if (this.#headers.midway && type !== frameTypes.continuation) throw broken('no CONTINUATION');
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
        if (payload.length < 8) throw new ConnectionError(errorCodes.frameSize, 'a cut GOAWAY');
        this.#countIdle();
        break;
      default:
        this.#countIdle();
    }
  }

  dataBegins(id: number, bytes: number): void {
    if (this.#ended) return;
    if (!this.#settled) throw broken('no SETTINGS at first');
    if (this.#headers.midway) throw broken('no CONTINUATION');
    if (this.#streams.isIdle(id)) throw broken('DATA of a stream that is not open');
    this.#receiveLeft -= bytes;
    if (this.#receiveLeft < 0) throw new ConnectionError(errorCodes.flowControl, 'too much DATA');
    // Each stream bounds what is held; the connection's window would let one hold up the others.
    if (2 * this.#receiveLeft < defaultWindow) {
      this.send(windowFrame(0, defaultWindow - this.#receiveLeft));
      this.#receiveLeft = defaultWindow;
    }
    if (bytes === 0) this.#countIdle();
    const stream = this.#streams.get(id);
    this.#dataStream = stream;
    if (stream === undefined) return this.#late(id);
    const problem = stream.remoteEnded ? errorCodes.streamClosed : stream.expect(bytes);
    if (problem === undefined) return undefined;
    this.#dataStream = undefined;
    return stream.reset(problem);
  }

  dataPart(bytes: Buffer): void {
    if (!this.#ended) this.#dataStream?.receive(bytes);
  }

  dataEnds(ends: boolean): void {
    if (ends && !this.#ended && this.#dataStream?.closed === false) this.#dataStream.receiveEnd();
    this.#dataStream = undefined;
  }

  #paddedData(flags: number, id: number, payload: Buffer): void {
    const content = unpadded(flags, payload);
    this.dataBegins(id, payload.length);
    this.dataPart(content);
    this.dataEnds((flags & frameFlags.endStream) !== 0);
  }

  #listed(list: HeaderList | undefined): void {
    if (list === undefined) return;
    const { stream: id } = list;
    const stream = this.#streams.get(id);
    if (stream !== undefined) return this.#trailers(stream, list);
    if (id <= this.#streams.lastId) {
      const byUs = this.#streams.resetByUs(id);
      if (byUs === true) return this.#countIdle();
      if (byUs === undefined) throw broken('HEADERS of a stream with a smaller number');
      throw new ConnectionError(errorCodes.streamClosed, 'HEADERS of a stream that is over');
    }
    this.#streams.lastId = id;
    if (this.#leaving) return this.#refuse(id, errorCodes.refusedStream);
    return this.#open(list);
  }

  #open({ stream: id, endStream, fields, bytes, dependsOnItself }: HeaderList): undefined {
    const { maxStreams, maxHeaderBytes } = this.#options.limits;
    if (dependsOnItself) return this.#refuse(id, errorCodes.protocol);
    if (bytes <= maxHeaderBytes && problemOf(fields) !== undefined) {
      return this.#refuse(id, errorCodes.protocol);
    }
    if (this.#streams.size >= maxStreams) return this.#refuse(id, errorCodes.refusedStream);
    const headers = new RequestHeaders(fields, bytes);
    const bodyBytes = bodyBytesOf(headers);
    if (Number.isNaN(bodyBytes) || (endStream && bodyBytes > 0)) {
      return this.#refuse(id, errorCodes.protocol);
    }
    const stream = new Stream(id, this, { sendWindow: this.#initialWindow, bodyBytes });
    this.#streams.add(stream);
    if (endStream) stream.receiveEnd();
    this.#options.outlet.request(stream, headers);
    return undefined;
  }

  #trailers(stream: Stream, { endStream, fields, dependsOnItself }: HeaderList): void {
    if (stream.remoteEnded) return stream.reset(errorCodes.streamClosed);
    const malformed = !endStream || dependsOnItself || problemOfTrailers(fields) !== undefined;
    return malformed ? stream.reset(errorCodes.protocol) : stream.receiveEnd();
  }

  #refuse(id: number, code: ErrorCode): undefined {
    spendOrEnd(this.#resets, 'too many resets');
    this.#streams.remember(id, true);
    this.send(resetFrame(id, code));
    return undefined;
  }

  #priority(id: number, payload: Buffer): void {
    if (id === 0) throw broken('PRIORITY of the connection');
    this.#countIdle();
    const stream = this.#streams.get(id);
    const cut = payload.length !== 5;
    if (!cut && (payload.readUInt32BE(0) & 0x7fff_ffff) !== id) return;
    const code = cut ? errorCodes.frameSize : errorCodes.protocol;
    if (stream === undefined) throw new ConnectionError(code, 'a wrong PRIORITY');
    stream.reset(code);
  }

  #reset(id: number, payload: Buffer): void {
    expectBytes(payload, 4);
    if (this.#streams.isIdle(id)) throw broken('RST_STREAM of a stream that is not open');
    const stream = this.#streams.get(id);
    if (stream === undefined) return this.#countIdle();
    spendOrEnd(this.#resets, 'too many resets');
    return this.remove(stream, false);
  }

  #settings(flags: number, id: number, payload: Buffer): void {
    if (id !== 0) throw broken('SETTINGS of a stream');
    this.#countIdle();
    if ((flags & frameFlags.ack) !== 0) {
      expectBytes(payload, 0);
      if (!this.#settled) throw broken('no SETTINGS at first');
      return;
    }
    this.#settled = true;
    const window = initialWindowOf(payload);
    this.send(frameHead(0, frameTypes.settings, frameFlags.ack, 0));
    if (window === undefined) return;
    const growth = window - this.#initialWindow;
    this.#initialWindow = window;
    for (const stream of this.#streams.open()) {
      if (!stream.growSendWindow(growth)) throw overflow();
    }
  }

  #ping(flags: number, id: number, payload: Buffer): void {
    if (id !== 0) throw broken('PING of a stream');
    expectBytes(payload, 8);
    this.#countIdle();
    if ((flags & frameFlags.ack) === 0) {
      this.send(frameOf(frameTypes.ping, frameFlags.ack, 0, payload));
      return;
    }
    if (!payload.equals(probeBytes)) return;
    const answered = this.#probe;
    this.#probe = undefined;
    answered?.();
  }

  #windowUpdate(id: number, payload: Buffer): void {
    expectBytes(payload, 4);
    this.#countIdle();
    const growth = payload.readUInt32BE(0) & 0x7fff_ffff;
    if (id !== 0) return this.#growStream(id, growth);
    if (growth === 0) throw broken('a WINDOW_UPDATE of 0');
    this.sendWindow += growth;
    if (this.sendWindow > maxWindow) throw overflow();
    this.#serveWaiting();
    return undefined;
  }

  #growStream(id: number, growth: number): void {
    if (this.#streams.isIdle(id)) throw broken('WINDOW_UPDATE of a stream that is not open');
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    if (growth === 0) stream.reset(errorCodes.protocol);
    else if (!stream.growSendWindow(growth)) stream.reset(errorCodes.flowControl);
  }

  /** DATA of a stream that is over: on its way when we reset it, or wrong. */
  #late(id: number): void {
    this.#countIdle();
    if (this.#streams.resetByUs(id) !== true) this.send(resetFrame(id, errorCodes.streamClosed));
  }

  /** In turns: each that has more goes behind the others. */
  #serveWaiting(): boolean {
    while (this.writable && this.sendWindow > 0) {
      const stream = this.#streams.nextWaiting();
      if (stream === undefined) return false;
      stream.proceed();
    }
    return this.sendWindow > 0 && this.#streams.someWait;
  }

  #countIdle(): void {
    spendOrEnd(this.#idleFrames, 'too many frames that carry nothing');
  }

  #fail(code: ErrorCode, why: string): void {
    this.send(goAwayFrame(this.#streams.lastId, code, why));
    this.#end();
  }

  #end(): void {
    this.#ended = true;
    this.#closeStreams();
    this.#options.outlet.flush();
    this.#options.outlet.over();
  }

  #closeStreams(): void {
    for (const stream of this.#streams.clear()) stream.close();
  }
}
