import { dataFrames } from './frames.ts';

const mostBytes = 256 * 1024;
const mostMessages = 4;

/**
 * Messages that may be kept, as DATA frames of stream 1. Nearly all clients' only stream has that
 * number, so what they all get is framed once. A few are kept: a fan-out sends the same to one
 * after the other.
 */
export class SharedFrames {
  readonly #made: { readonly message: Uint8Array; frames: Buffer | undefined }[] = [];
  #next = 0;

  /** `undefined`: it is not worth a copy (yet: what only one gets is never copied). */
  of(message: Uint8Array): Buffer | undefined {
    if (message.length > mostBytes) return undefined;
    for (const one of this.#made) {
      if (one.message === message) return (one.frames ??= dataFrames(message, 1));
    }
    this.#made[this.#next] = { message, frames: undefined };
    this.#next = (this.#next + 1) % mostMessages;
    return undefined;
  }
}
