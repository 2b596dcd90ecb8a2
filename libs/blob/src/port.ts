/**
 * The blob store: content-addressed bytes. A digest names its bytes for ever, so a blob is never
 * changed, only put again. It is a cache: what is missing is generated and put again by its owner.
 */

/** Lower-case hexadecimal of the first 16 bytes of SHA-256: 32 characters. */
export type Digest = string;

export interface Blob {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
}

/**
 * The store as a whole is away. Whoever opened it has been told so: a call that fails with it has
 * nothing to add for people.
 */
export class BlobsAwayError extends Error {
  override readonly name = 'BlobsAwayError';
}

export interface BlobStore {
  /** Resolves when all are readable. Putting what is there costs nothing but the look-up. */
  put(blobs: readonly Blob[]): Promise<void>;
  /** One entry per digest, in order; `undefined` where it is missing. */
  get(digests: readonly Digest[]): Promise<readonly (Uint8Array | undefined)[]>;
  /**
   * Others put here too: `retain` renews what is named, and what nobody renews goes in time.
   * Otherwise there is one owner, and `retain` drops the rest at once.
   */
  readonly shared: boolean;
  /** Resolves when it has worked once. Absent: it is this process's own, and works. */
  readonly reached?: Promise<void>;
  /** Keeps what `live` names, and what is put after the call began. */
  retain(live: ReadonlySet<Digest>): Promise<void>;
  close(): Promise<void>;
}
