import type { Assembly, Slot } from './assembly.ts';
import { decompress, isEncoding } from './compression.ts';
import { Growing } from './growing.ts';
import { status, tooLarge, type ServerLimits, type Status } from './port.ts';

export const prefixBytes = 5;
/** Messages up to that size are received as they come. */
const smallMessageBytes = 32 * 1024;
/**
 * Large messages that are received in one go where they come in a row, as those of a proxy that
 * comes back: what has to wait between them is held.
 */
const mostInOneGo = 8;

/** Whether that is a message, not compressed and of a size that may be, and nothing more. */
export function isOneMessage(
  bytes: Buffer,
  { maxMessageBytes }: Pick<ServerLimits, 'maxMessageBytes'>,
): boolean {
  if (bytes.length < prefixBytes || bytes[0] !== 0) return false;
  const length = bytes.readUInt32BE(1);
  return length === bytes.length - prefixBytes && length <= maxMessageBytes;
}

export interface MessageReaderOptions {
  readonly limits: Pick<ServerLimits, 'maxMessageBytes'>;
  readonly assembly: Assembly;
  /** Of the request's messages that say they are compressed. */
  readonly encoding: string | undefined;
  /** One message, without prefix; valid during the call only. `false`: no more is wanted. */
  message(bytes: Uint8Array): boolean;
  refuse(problem: Status): void;
  /** Of the bytes that come. */
  pause(): void;
  resume(): void;
  /** So many more are to come of one message, and they have somewhere to go. */
  expects(bytes: number): void;
}

/** Makes gRPC's messages whole, of bytes that come in any parts. */
export class MessageReader {
  readonly #options: MessageReaderOptions;
  /** Of a message that is not whole yet. */
  readonly #partial: Growing;
  /** The partial one's, with its prefix, once that is known. */
  #needed = prefixBytes;
  #slot: Slot | undefined;
  /** Large messages that were received with it. */
  #inOneGo = 0;

  constructor(options: MessageReaderOptions) {
    this.#options = options;
    this.#partial = new Growing(options.assembly.buffers);
  }

  /** A message is there in part. */
  get midway(): boolean {
    return this.#partial.length > 0;
  }

  /** `bytes`: valid during the call only. */
  read(bytes: Buffer): void {
    let at = 0;
    while (this.#partial.length > 0 && at < bytes.length) {
      const end = Math.min(bytes.length, at + this.#needed - this.#partial.length);
      this.#partial.append(bytes.subarray(at, end), this.#needed);
      at = end;
      if (this.#partial.length < this.#needed) return;
      if (!this.#completed()) return;
    }
    at = this.#deliver(bytes, at);
    if (at === -1 || at === bytes.length) return this.#releaseSlot();
    this.#needed = neededOf(bytes, at);
    const begun = bytes.subarray(at);
    // Nothing more comes until it is its turn.
    const atOnce = this.#mayGoOn();
    this.#partial.append(begun, atOnce ? this.#needed : begun.length);
    if (!atOnce) this.#options.pause();
    else if (this.#slot !== undefined) this.#expect();
    return undefined;
  }

  /** Nothing more comes, or is wanted. */
  close(): void {
    this.#options.assembly.forget(this);
    this.#partial.clear();
    this.#needed = prefixBytes;
    this.#releaseSlot();
  }

  /** So many bytes as were needed are there: of the prefix, or of the message. Whether to go on. */
  #completed(): boolean {
    const bytes = this.#partial.view();
    this.#needed = neededOf(bytes, 0);
    if (bytes.length < this.#needed) {
      const problem = this.#problemOf(bytes, 0);
      if (problem !== undefined) this.#options.refuse(problem);
      else if (!this.#mayGoOn()) this.#options.pause();
      else if (this.#slot !== undefined) this.#expect();
      return problem === undefined;
    }
    const wanted = this.#deliver(bytes, 0) !== -1;
    this.#partial.clear();
    this.#needed = prefixBytes;
    return wanted;
  }

  /** Hands on the messages that are whole; gives where the rest begins. -1: no more is wanted. */
  #deliver(bytes: Buffer, from: number): number {
    let at = from;
    while (bytes.length - at >= prefixBytes) {
      const problem = this.#problemOf(bytes, at);
      if (problem !== undefined) {
        this.#options.refuse(problem);
        return -1;
      }
      const end = at + neededOf(bytes, at);
      if (end > bytes.length) return at;
      if (!this.#message(bytes.subarray(at + prefixBytes, end), bytes[at] === 1)) return -1;
      at = end;
    }
    return at;
  }

  #message(bytes: Buffer, compressed: boolean): boolean {
    const { encoding = '', limits } = this.#options;
    if (!compressed || !isEncoding(encoding)) return this.#options.message(bytes);
    const message = decompress(bytes, encoding, limits);
    if (!('code' in message)) return this.#options.message(message);
    this.#options.refuse(message);
    return false;
  }

  /** A large message is received only when it is its turn; `false`: it goes on by itself then. */
  #mayGoOn(): boolean {
    const isLarge = this.#needed > smallMessageBytes;
    if (isLarge && this.#slot !== undefined && ++this.#inOneGo <= mostInOneGo) return true;
    this.#releaseSlot();
    if (!isLarge) return true;
    this.#inOneGo = 1;
    const granted = (slot: Slot): void => {
      this.#slot = slot;
      this.#expect();
      this.#options.resume();
    };
    this.#slot = this.#options.assembly.take(this, granted, () => this.#options.refuse(tooSlow));
    return this.#slot !== undefined;
  }

  #expect(): void {
    const bytes = this.#needed - this.#partial.length;
    if (bytes > 0) this.#options.expects(bytes);
  }

  #releaseSlot(): void {
    const slot = this.#slot;
    this.#slot = undefined;
    slot?.release();
  }

  #problemOf(bytes: Buffer, at: number): Status | undefined {
    const flags = bytes[at] ?? 0;
    const length = bytes.readUInt32BE(at + 1);
    const problem = tooLarge(length, this.#options.limits);
    if (problem !== undefined || flags === 0) return problem;
    if (flags !== 1) {
      return { code: status.internal, message: `the compressed flag is ${flags}, not 0 or 1` };
    }
    const { encoding = 'identity' } = this.#options;
    if (isEncoding(encoding)) return undefined;
    return encoding === 'identity'
      ? { code: status.internal, message: 'a compressed message without a grpc-encoding' }
      : { code: status.unimplemented, message: `grpc-encoding ${encoding} is not supported` };
  }
}

const tooSlow: Status = {
  code: status.resourceExhausted,
  message: 'a large message took too long',
};

/** What there must be of the message at `at`: all of it, or its prefix while that is not there. */
function neededOf(bytes: Buffer, at: number): number {
  if (bytes.length - at < prefixBytes) return prefixBytes;
  return prefixBytes + bytes.readUInt32BE(at + 1);
}
