import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Timer, Timers } from '@watershed/runtime/clock.ts';
import type { Assembly, Slot } from './assembly.ts';
import {
  acceptedEncodings,
  chooseEncoding,
  decompress,
  isEncoding,
  type Compressor,
  type Encoding,
} from './compression.ts';
import {
  status,
  type CallHandler,
  type Peer,
  type ServerCall,
  type ServerLimits,
  type Status,
} from './port.ts';

const prefixBytes = 5;
/** Messages up to that size are received as they come. */
const smallMessageBytes = 32 * 1024;

export interface CallContext {
  readonly peer: Peer;
  readonly limits: ServerLimits;
  readonly assembly: Assembly;
  readonly compressor: Compressor;
}

/** gRPC over one HTTP/2 stream (grpc/grpc `doc/PROTOCOL-HTTP2.md`). */
export class Http2Call implements ServerCall {
  readonly path: string;
  readonly peer: Peer;
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #limits: ServerLimits;
  readonly #assembly: Assembly;
  readonly #compressor: Compressor;
  /** Of responses. */
  #encoding: Encoding | undefined;
  #handler: CallHandler | undefined;
  /** Of a message that is not whole yet. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #slot: Slot | undefined;
  #ended = false;
  #deadline: Timer | undefined;
  #status: Status | undefined;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, context: CallContext) {
    this.#stream = stream;
    this.#headers = headers;
    this.path = headers[':path'] ?? '';
    this.peer = context.peer;
    this.#limits = context.limits;
    this.#assembly = context.assembly;
    this.#compressor = context.compressor;
  }

  /** Answers with headers at once, so that the client sees the stream open. */
  start(
    open: (call: ServerCall) => CallHandler | Promise<CallHandler>,
    timeoutMs: number | undefined,
    timers: Timers,
  ): void {
    const stream = this.#stream;
    stream.on('wantTrailers', () => {
      const { code, message } = this.#status ?? { code: status.ok, message: '' };
      stream.sendTrailers(trailersOf(code, message));
    });
    const encoding = chooseEncoding(this.header('grpc-accept-encoding'));
    this.#encoding = encoding;
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-accept-encoding': acceptedEncodings,
        ...(encoding === undefined ? {} : { 'grpc-encoding': encoding }),
      },
      { waitForTrailers: true },
    );
    resetWhenDone(stream, timers);
    stream.on('close', () => this.#closed());
    if (timeoutMs !== undefined) {
      this.#deadline = timers.after(timeoutMs, () => {
        this.end({ code: status.deadlineExceeded, message: 'the deadline passed' });
      });
    }
    const opened = open(this);
    if (opened instanceof Promise) {
      // Nothing is read until it is known who calls.
      opened.then(
        (handler) => this.#serve(handler),
        () => this.end({ code: status.internal, message: 'the call could not be opened' }),
      );
    } else this.#serve(opened);
  }

  #serve(handler: CallHandler): void {
    if (this.#ended) {
      handler.closed();
      return;
    }
    this.#handler = handler;
    const stream = this.#stream;
    stream.on('data', (chunk: Buffer) => this.#data(chunk));
    stream.on('end', () => {
      if (this.#ended) return;
      if (this.#pendingBytes > 0) this.end({ code: status.internal, message: 'a message was cut' });
      else handler.halfClosed();
    });
    stream.on('drain', () => {
      if (!this.#ended) handler.drain();
    });
  }

  header(name: string): string | undefined {
    const value = this.#headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  write(framed: Uint8Array, compressible = false): boolean {
    if (this.#ended || this.#stream.destroyed) return true;
    const encoding = compressible ? this.#encoding : undefined;
    return this.#stream.write(
      encoding === undefined ? framed : this.#compressor.of(framed, encoding),
    );
  }

  end(ended: Status): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#status = ended;
    if (!this.#stream.destroyed) this.#stream.end();
    this.#release();
  }

  #closed(): void {
    this.#ended = true;
    this.#release();
  }

  #release(): void {
    this.#deadline?.cancel();
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#assembly.forget(this);
    this.#releaseSlot();
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.closed();
  }

  #data(chunk: Buffer): void {
    if (this.#ended) return;
    let bytes = chunk;
    let joined = false;
    if (this.#pendingBytes > 0) {
      this.#pending.push(chunk);
      this.#pendingBytes += chunk.length;
      if (this.#pendingBytes < this.#needed()) return;
      bytes = this.#assembly.join(this.#pending, this.#pendingBytes);
      joined = true;
      this.#pending = [];
      this.#pendingBytes = 0;
      this.#releaseSlot();
    }
    const at = this.#deliver(bytes);
    if (this.#ended || at === bytes.length) return;
    // What was joined stands in a buffer of others.
    const rest = joined ? Buffer.from(bytes.subarray(at)) : bytes.subarray(at);
    this.#pending = [rest];
    this.#pendingBytes = rest.length;
    if (this.#needed() > smallMessageBytes) this.#takeSlot();
  }

  /** Hands on the messages that are whole; gives where the rest begins. */
  #deliver(bytes: Buffer): number {
    let at = 0;
    while (bytes.length - at >= prefixBytes) {
      const length = bytes.readUInt32BE(at + 1);
      const problem = this.#refuse(bytes[at] ?? 0, length);
      if (problem !== undefined) {
        this.end(problem);
        return at;
      }
      const end = at + prefixBytes + length;
      if (end > bytes.length) return at;
      this.#message(bytes.subarray(at + prefixBytes, end), bytes[at] === 1);
      if (this.#ended) return at;
      at = end;
    }
    return at;
  }

  #message(bytes: Buffer, compressed: boolean): void {
    const encoding = this.header('grpc-encoding') ?? '';
    if (!compressed || !isEncoding(encoding)) {
      this.#handler?.message(bytes);
      return;
    }
    const message = decompress(bytes, encoding, this.#limits);
    if ('code' in message) this.end(message);
    else this.#handler?.message(message);
  }

  /** Goes on receiving a large message only when it is its turn. */
  #takeSlot(): void {
    if (this.#slot !== undefined) return;
    this.#slot = this.#assembly.take(this, (slot) => {
      this.#slot = slot;
      this.#stream.resume();
    });
    if (this.#slot === undefined) this.#stream.pause();
  }

  #releaseSlot(): void {
    const slot = this.#slot;
    this.#slot = undefined;
    slot?.release();
  }

  /** Bytes that make the pending message whole, as far as is known: so that chunks are joined once. */
  #needed(): number {
    const [first] = this.#pending;
    if (first === undefined || first.length < prefixBytes) return 0;
    return prefixBytes + first.readUInt32BE(1);
  }

  #refuse(flags: number, length: number): Status | undefined {
    if (length > this.#limits.maxMessageBytes) {
      const message = `a message of ${length} bytes; at most ${this.#limits.maxMessageBytes}`;
      return { code: status.resourceExhausted, message };
    }
    if (flags === 0) return undefined;
    const encoding = this.header('grpc-encoding') ?? 'identity';
    if (flags === 1 && isEncoding(encoding)) return undefined;
    return flags === 1 && encoding !== 'identity'
      ? { code: status.unimplemented, message: `grpc-encoding ${encoding} is not supported` }
      : { code: status.internal, message: 'a compressed message without a grpc-encoding' };
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

export function trailersOf(code: number, message: string): Record<string, string> {
  const trailers: Record<string, string> = { 'grpc-status': String(code) };
  if (message !== '') trailers['grpc-message'] = percentEncode(message);
  return trailers;
}

const maxMessageLength = 1_024;

/** gRPC's Percent-Encoded: all but printable ASCII, and `%` itself. */
function percentEncode(text: string): string {
  let out = '';
  for (const byte of Buffer.from(text.slice(0, maxMessageLength))) {
    out +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** `grpc-timeout` in ms; `undefined`: none. NaN: malformed. */
export function parseTimeout(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{1,8})([HMSmun])$/u.exec(text);
  return match === null ? Number.NaN : Number(match[1]) * (unitMs[match[2] ?? ''] ?? Number.NaN);
}
