import { Cut } from '../cut.ts';
import { Growing, ownBuffers } from '../growing.ts';
import {
  ConnectionError,
  errorCodes,
  frameFlags,
  frameTypes,
  headBytes,
  maxFrameBytes,
  preface,
} from './frames.ts';
import { refusalOfHttp1 } from './http1.ts';

const cut = new Cut();

/**
 * Cuts bytes, however they come, into frames. Holds at most one frame that is not whole, and
 * nothing of DATA. Whoever knows what frames mean extends it: a connection is read as one object,
 * since with thousands of them each further one is in no cache.
 */
export abstract class FrameReader {
  /** Of the preface that a client begins with, what is still to come. */
  #prefaceAt = 0;
  /** A frame that is not whole, from its head on. */
  #partial: Growing | undefined;
  /** So many bytes of it are there to be. */
  #needed = 0;
  /** Of the DATA frame that is being read; -1: none. */
  #dataLeft = -1;
  #dataFlags = 0;

  /** The client has begun as one of HTTP/2 does. */
  protected abstract begin(): void;
  abstract send(bytes: Uint8Array): void;
  /** Any but DATA that is not padded. What these are given is valid during the call only. */
  protected abstract frame(type: number, flags: number, stream: number, payload: Buffer): void;
  /** A DATA frame begins; its bytes follow, in any number of parts. */
  protected abstract dataBegins(stream: number, bytes: number): void;
  protected abstract dataPart(bytes: Buffer): void;
  protected abstract dataEnds(ends: boolean): void;

  /** Throws `ConnectionError`, and so may what it calls; then nothing more may be read. */
  protected readFrames(bytes: Buffer): void {
    let at = this.hasBegun ? 0 : this.#readPreface(bytes);
    while (at < bytes.length) {
      if (this.#dataLeft > 0) at = this.#readData(bytes, at);
      else if (this.#partial !== undefined) at = this.#complete(bytes, at, this.#partial);
      else if (bytes.length - at < headBytes) at = this.#keep(bytes, at, headBytes);
      else at = this.#readFrame(bytes, at);
    }
  }

  protected get hasBegun(): boolean {
    return this.#prefaceAt === preface.length;
  }

  #readPreface(bytes: Buffer): number {
    const count = Math.min(bytes.length, preface.length - this.#prefaceAt);
    const end = this.#prefaceAt + count;
    if (bytes.compare(preface, this.#prefaceAt, end, 0, count) !== 0) {
      const refusal = refusalOfHttp1(bytes);
      if (refusal !== undefined) this.send(refusal);
      throw new ConnectionError(errorCodes.protocol, 'no HTTP/2');
    }
    this.#prefaceAt = end;
    if (this.hasBegun) this.begin();
    return count;
  }

  /** Of a frame whose head is all there. */
  #readFrame(bytes: Buffer, at: number): number {
    const length = lengthAt(bytes, at);
    const type = bytes[at + 3] ?? 0;
    const flags = bytes[at + 4] ?? 0;
    const stream = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
    if (length > maxFrameBytes) throw new ConnectionError(errorCodes.frameSize, 'a large frame');
    const from = at + headBytes;
    if (type === frameTypes.data && (flags & frameFlags.padded) === 0) {
      this.dataBegins(stream, length);
      this.#dataFlags = flags;
      this.#dataLeft = length;
      if (length === 0) this.#endData();
      return from;
    }
    if (bytes.length - from < length) return this.#keep(bytes, at, headBytes + length);
    this.frame(type, flags, stream, bytes.subarray(from, from + length));
    return from + length;
  }

  #readData(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#dataLeft);
    this.#dataLeft -= end - at;
    this.dataPart(cut.part(bytes, at, end));
    if (this.#dataLeft === 0) this.#endData();
    return end;
  }

  #endData(): void {
    this.#dataLeft = -1;
    this.dataEnds((this.#dataFlags & frameFlags.endStream) !== 0);
  }

  /** Until so many are there. */
  #keep(bytes: Buffer, at: number, needed: number): number {
    this.#needed = needed;
    this.#partial = new Growing(ownBuffers);
    // As much as is there, not as much as is promised.
    this.#partial.append(bytes.subarray(at), needed);
    return bytes.length;
  }

  #complete(bytes: Buffer, at: number, partial: Growing): number {
    const end = Math.min(bytes.length, at + this.#needed - partial.length);
    partial.append(bytes.subarray(at, end), this.#needed);
    if (partial.length < this.#needed) return end;
    this.#partial = undefined;
    // A head alone may be the begin of something longer, which then is kept in turn.
    this.#readFrame(partial.view(), 0);
    return end;
  }
}

function lengthAt(bytes: Buffer, at: number): number {
  return ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
}
