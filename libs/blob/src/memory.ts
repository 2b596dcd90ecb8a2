import type { Blob, BlobStore, Digest } from './port.ts';

export interface MemoryBlobsOptions {
  /** Of all blobs; the least recently used ones go. Default: unlimited. */
  readonly maxBytes?: number;
}

/** Blobs of one process's life: for tests, and in front of slower stores. */
export function memoryBlobs(options: MemoryBlobsOptions = {}): BlobStore {
  return new MemoryBlobs(options.maxBytes ?? Number.POSITIVE_INFINITY);
}

export class MemoryBlobs implements BlobStore {
  readonly shared = false;
  readonly #maxBytes: number;
  /** In the order of their last use. */
  readonly #blobs = new Map<Digest, Uint8Array>();
  /** Goes on where it was: from the beginning, each would pass all that was deleted there. */
  #oldest = this.#blobs.keys();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  put(blobs: readonly Blob[]): Promise<void> {
    for (const { digest, bytes } of blobs) this.add(digest, bytes);
    return Promise.resolve();
  }

  get(digests: readonly Digest[]): Promise<readonly (Uint8Array | undefined)[]> {
    return Promise.resolve(digests.map((digest) => this.find(digest)));
  }

  retain(live: ReadonlySet<Digest>): Promise<void> {
    for (const digest of [...this.#blobs.keys()]) if (!live.has(digest)) this.drop(digest);
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#blobs.clear();
    this.#bytes = 0;
    return Promise.resolve();
  }

  add(digest: Digest, bytes: Uint8Array): void {
    if (this.find(digest) !== undefined || bytes.length > this.#maxBytes) return;
    this.#blobs.set(digest, bytes);
    this.#bytes += bytes.length;
    while (this.#bytes > this.#maxBytes) this.#evict();
  }

  find(digest: Digest): Uint8Array | undefined {
    const bytes = this.#blobs.get(digest);
    if (bytes === undefined) return undefined;
    this.#blobs.delete(digest);
    this.#blobs.set(digest, bytes);
    return bytes;
  }

  #evict(): void {
    const { value: oldest } = this.#oldest.next();
    if (oldest === undefined) this.#oldest = this.#blobs.keys();
    else this.drop(oldest);
  }

  drop(digest: Digest): void {
    this.#bytes -= this.#blobs.get(digest)?.length ?? 0;
    this.#blobs.delete(digest);
  }
}
