import type { Blob, BlobStore, Digest } from '@watershed/blob/port.ts';
import type { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import type { Life } from './life.ts';

/** What happens to one call. */
export interface BlobNetwork {
  latencyMs(): number;
  fails(): boolean;
}

/** The blob store of all processes: may lose any blob at any time. */
export class SimBlobs {
  /** All that was ever put, for who checks what came of it. */
  readonly known = new Map<Digest, Uint8Array>();
  readonly #held = new Map<Digest, Uint8Array>();
  readonly #time: VirtualTime;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  /** Returns how many are lost. */
  lose(isLost: () => boolean): number {
    const lost = [...this.#held.keys()].filter(isLost);
    for (const digest of lost) this.#held.delete(digest);
    return lost.length;
  }

  connect(life: Life, network: BlobNetwork): BlobStore {
    const reach = async (): Promise<void> => {
      const fails = network.fails();
      await new Promise<void>((resolve) => {
        this.#time.after(network.latencyMs(), resolve);
      });
      if (life.over) await new Promise(() => undefined);
      if (fails) throw new Error('the blob store is away');
    };
    return {
      shared: true,
      put: async (blobs: readonly Blob[]) => {
        await reach();
        for (const { digest, bytes } of blobs) {
          this.#held.set(digest, bytes);
          this.known.set(digest, bytes);
        }
        await reach();
      },
      get: async (digests) => {
        await reach();
        const found = digests.map((digest) => this.#held.get(digest));
        await reach();
        return found;
      },
      // What is lost is lost by `lose`: no more is needed to see that it is put again.
      retain: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
  }
}
