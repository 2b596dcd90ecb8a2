import type { Timer, Timers } from '@watershed/runtime/clock.ts';
import type { Assembly } from './assembly.ts';
import { chooseEncoding, type Compressor, type Encoding } from './compression.ts';
import { Cut } from './cut.ts';
import { isOneMessage, MessageReader, prefixBytes } from './message-reader.ts';
import {
  deadlinePassed,
  status,
  type CallHandler,
  type Method,
  type Peer,
  type ServerCall,
  type ServerLimits,
  type Status,
} from './port.ts';

const cut = new Cut();

/** The body of a response. */
export interface Body {
  /**
   * `false`: it waits, and `GrpcCall.drained` tells when it went. `shareable`: others may be given
   * the same bytes, and what is made of them may be kept.
   */
  write(bytes: Uint8Array, shareable: boolean): boolean;
  /** Whether that would go at once. */
  readonly isReady: boolean;
}

/** The HTTP/2 stream that a call is on. */
export interface Wire {
  /** Headers; the client sees the stream open. `encoding`: of the messages that say so. */
  respond(encoding: Encoding | undefined): void;
  readonly body: Body;
  /** The status, behind all that was written. */
  end(ended: Status): void;
  /** Of the request's body; it begins paused. */
  pause(): void;
  resume(): void;
  /** So many bytes of it are wanted at once. */
  expects(bytes: number): void;
  /** It is over. */
  closed(): void;
}

export interface RequestHead {
  readonly path: string;
  header(name: string): string | undefined;
}

/** The limits of a server, or of one of its methods. */
export function limitsOf(limits: ServerLimits, { maxMessageBytes }: Method): ServerLimits {
  return maxMessageBytes === undefined ? limits : { ...limits, maxMessageBytes };
}

export interface CallContext {
  readonly peer: Peer;
  readonly limits: ServerLimits;
  readonly assembly: Assembly;
  readonly compressor: Compressor;
}

/** gRPC over one HTTP/2 stream (grpc/grpc `doc/PROTOCOL-HTTP2.md`), whoever frames that. */
export class GrpcCall implements ServerCall {
  readonly path: string;
  readonly peer: Peer;
  readonly #wire: Wire;
  readonly #body: Body;
  readonly #head: RequestHead;
  readonly #limits: ServerLimits;
  readonly #assembly: Assembly;
  readonly #compressor: Compressor;
  /** While a message is there in part. */
  #reader: MessageReader | undefined;
  /** Of responses. */
  #encoding: Encoding | undefined;
  #handler: CallHandler | undefined;
  #ended = false;
  #deadline: Timer | undefined;

  constructor(wire: Wire, head: RequestHead, context: CallContext) {
    this.#wire = wire;
    this.#body = wire.body;
    this.#head = head;
    this.path = head.path;
    this.peer = context.peer;
    this.#limits = context.limits;
    this.#assembly = context.assembly;
    this.#compressor = context.compressor;
  }

  /** Answers with headers at once. */
  start(
    open: (call: ServerCall) => CallHandler | Promise<CallHandler>,
    timeoutMs: number | undefined,
    timers: Timers,
  ): void {
    this.#encoding = chooseEncoding(this.header('grpc-accept-encoding'));
    this.#wire.respond(this.#encoding);
    if (timeoutMs !== undefined) {
      this.#deadline = timers.after(timeoutMs, () => this.end(deadlinePassed));
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

  header(name: string): string | undefined {
    return this.#head.header(name);
  }

  get isReady(): boolean {
    return !this.#ended && this.#body.isReady;
  }

  write(framed: Uint8Array, compressible = false): boolean {
    if (this.#ended) return true;
    const encoding = compressible ? this.#encoding : undefined;
    return this.#body.write(
      encoding === undefined ? framed : this.#compressor.of(framed, encoding),
      compressible,
    );
  }

  end(ended: Status): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#wire.end(ended);
    this.#release();
  }

  data(bytes: Buffer): void {
    if (this.#ended) return;
    // Nearly all come so, and what reads the others is one more place of memory for each stream.
    const isOne = this.#reader === undefined && isOneMessage(bytes, this.#limits);
    if (isOne) this.#handler?.message(cut.part(bytes, prefixBytes, bytes.length));
    else this.#read(bytes);
  }

  /** The client will send no more. */
  ended(): void {
    if (this.#ended) return;
    if (this.#reader === undefined) this.#handler?.halfClosed();
    else this.end({ code: status.internal, message: 'a message was cut' });
  }

  drained(): void {
    if (!this.#ended) this.#handler?.drain();
  }

  /** The stream is over, for whatever reason. */
  closed(): void {
    this.#ended = true;
    this.#wire.closed();
    this.#release();
  }

  #read(bytes: Buffer): void {
    const reader = (this.#reader ??= this.#createReader());
    reader.read(bytes);
    if (!reader.midway) this.#reader = undefined;
  }

  #createReader(): MessageReader {
    const wire = this.#wire;
    return new MessageReader({
      limits: this.#limits,
      assembly: this.#assembly,
      encoding: this.#head.header('grpc-encoding'),
      message: (bytes) => {
        this.#handler?.message(bytes);
        return !this.#ended;
      },
      refuse: (problem) => this.end(problem),
      pause: () => wire.pause(),
      resume: () => wire.resume(),
      expects: (bytes) => wire.expects(bytes),
    });
  }

  #serve(handler: CallHandler): void {
    if (this.#ended) {
      handler.closed();
      return;
    }
    this.#handler = handler;
    this.#wire.resume();
  }

  #release(): void {
    this.#deadline?.cancel();
    this.#reader?.close();
    this.#reader = undefined;
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.closed();
  }
}
