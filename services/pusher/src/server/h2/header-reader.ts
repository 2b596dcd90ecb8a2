import { Growing, ownBuffers } from '../growing.ts';
import { ConnectionError, errorCodes, frameFlags, type ErrorCode } from './frames.ts';
import { HpackDecoder, type FirstBlocks } from './hpack-decoder.ts';

/** A header block that is whole. */
export interface HeaderList {
  readonly stream: number;
  readonly endStream: boolean;
  readonly fields: readonly string[];
  /** As counted against the limit; over it, fields are missing. */
  readonly bytes: number;
  /** The stream says that it depends on itself. */
  readonly dependsOnItself: boolean;
}

interface Open {
  readonly stream: number;
  readonly flags: number;
  readonly dependsOnItself: boolean;
  readonly block: Growing;
  continuations: number;
}

/** Blocks over the limit are decoded and refused; those far over it end the connection. */
const blockLimits = 4;
const mostContinuations = 32;

/** Makes header lists of HEADERS and CONTINUATION frames. */
export class HeaderReader {
  readonly #mostBytes: number;
  readonly #decoder: HpackDecoder;
  #open: Open | undefined;

  constructor(mostBytes: number, firstBlocks: FirstBlocks) {
    this.#mostBytes = mostBytes;
    this.#decoder = new HpackDecoder(firstBlocks);
  }

  /** `undefined`: nothing but CONTINUATION may come now. */
  headers(stream: number, flags: number, payload: Buffer): HeaderList | undefined {
    let block = unpadded(flags, payload);
    let dependsOnItself = false;
    if ((flags & frameFlags.priority) !== 0) {
      if (block.length < 5) throw new ConnectionError(errorCodes.frameSize, 'a cut priority');
      dependsOnItself = dependencyOf(block) === stream;
      block = block.subarray(5);
    }
    const head = { stream, flags, dependsOnItself };
    if ((flags & frameFlags.endHeaders) !== 0) return this.#decode(head, block);
    this.#open = { ...head, block: new Growing(ownBuffers), continuations: 0 };
    this.#append(this.#open, block);
    return undefined;
  }

  continuation(stream: number, flags: number, payload: Buffer): HeaderList | undefined {
    const open = this.#open;
    if (open === undefined || open.stream !== stream) {
      throw new ConnectionError(errorCodes.protocol, 'CONTINUATION of nothing');
    }
    if (++open.continuations > mostContinuations) {
      throw new ConnectionError(errorCodes.enhanceYourCalm, 'too many CONTINUATION frames');
    }
    this.#append(open, payload);
    if ((flags & frameFlags.endHeaders) === 0) return undefined;
    this.#open = undefined;
    return this.#decode(open, open.block.view());
  }

  #append(open: Open, part: Buffer): void {
    if (open.block.length + part.length > blockLimits * this.#mostBytes + 16_384) {
      throw new ConnectionError(errorCodes.enhanceYourCalm, 'headers without an end');
    }
    open.block.append(part);
  }

  #decode(head: Omit<Open, 'block' | 'continuations'>, block: Buffer): HeaderList {
    const { stream, flags, dependsOnItself } = head;
    const list = this.#decoder.decode(block, this.#mostBytes);
    return { stream, endStream: (flags & frameFlags.endStream) !== 0, ...list, dependsOnItself };
  }
}

/** Of a PRIORITY frame (RFC 9113, 6.3): priorities went out of HTTP/2, the frame did not. */
export function problemOfPriority(stream: number, payload: Buffer): ErrorCode | undefined {
  if (payload.length !== 5) return errorCodes.frameSize;
  return dependencyOf(payload) === stream ? errorCodes.protocol : undefined;
}

function dependencyOf(priority: Buffer): number {
  return priority.readUInt32BE(0) & 0x7fff_ffff;
}

/** A payload without what fills it up (RFC 9113, 6.1 and 6.2). */
export function unpadded(flags: number, payload: Buffer): Buffer {
  if ((flags & frameFlags.padded) === 0) return payload;
  const padding = payload[0];
  if (padding === undefined) throw new ConnectionError(errorCodes.frameSize, 'no padding');
  if (padding >= payload.length) throw new ConnectionError(errorCodes.protocol, 'all is padding');
  return payload.subarray(1, payload.length - padding);
}
