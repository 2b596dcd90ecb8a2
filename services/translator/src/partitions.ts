/**
 * The partitions that are this shard's, as its group says: each is taken over by reading its
 * endpoints to the end, then claiming its outputs; and given up the other way round. Changes of the
 * group are worked through one after the other, the newest word last.
 */
import type { Clock } from '@watershed/runtime/clock.ts';
import type { Engine } from './engine/engine.ts';
import type { Gained } from './engine/published.ts';
import { isSynced } from './inputs.ts';
import type { LogOutputs } from './outputs.ts';
import type { Reader } from './readers.ts';

export interface PartitionsOptions {
  readonly engine: Engine;
  readonly outputs: LogOutputs;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** A reader of a partition of `endpoints`; `signal` ends it. */
  readonly read: (partition: number, signal: AbortSignal) => Reader;
  /** Resolves when all is applied that is on the log of `config` now. */
  readonly allRead: () => Promise<void>;
  /** Told of each that another process owns now, or that is not on the log any more. */
  readonly onLost: (reason: unknown) => void;
  readonly onError: (error: unknown) => void;
  /** How many are owned, each time that it changes. */
  readonly onOwned: (count: number) => void;
}

interface Held {
  readonly reader: Reader;
  readonly stop: AbortController;
  readonly running: Promise<void>;
  owned: boolean;
  lost: boolean;
}

export class Partitions {
  readonly #options: PartitionsOptions;
  readonly #held = new Map<number, Held>();
  readonly #stop = new AbortController();
  #wanted: ReadonlySet<number> = new Set();
  #working: Promise<void> | undefined;
  /** When it began, or ended. */
  #sinceMs: number;
  #again = false;

  constructor(options: PartitionsOptions) {
    this.#options = options;
    this.#sinceMs = options.clock.monotonic();
  }

  /** From now on these are wanted. Resolves when they are owned, or something newer was said. */
  assign(wanted: ReadonlySet<number>): Promise<void> {
    this.#wanted = wanted;
    return this.#wake();
  }

  /** Takes over once more what is wanted and was lost. */
  again(): Promise<void> {
    return this.#wake();
  }

  /** How many are being taken over, whose outputs are not on the log yet, and for how long. */
  get arrears(): { readonly count: number; readonly forMs: number } {
    const isOwned = (partition: number): boolean => this.#held.get(partition)?.owned === true;
    const count = [...this.#wanted].filter((partition) => !isOwned(partition)).length;
    return { count, forMs: this.#options.clock.monotonic() - this.#sinceMs };
  }

  /** Readers of what is held, by partition. */
  get readers(): ReadonlyMap<number, Reader> {
    return new Map([...this.#held].map(([partition, { reader }]) => [partition, reader]));
  }

  /** The engine is closed before: what it could not append is appended by the next owner. */
  async close(): Promise<void> {
    this.#stop.abort();
    const all = [...this.#held];
    for (const [, { stop }] of all) stop.abort();
    for (const [partition, { running }] of all) {
      await this.#options.outputs.close(partition);
      await running;
    }
  }

  #wake(): Promise<void> {
    if (this.#stop.signal.aborted) return Promise.resolve();
    this.#again = true;
    if (this.#working !== undefined) return this.#working;
    const { clock } = this.#options;
    this.#sinceMs = clock.monotonic();
    this.#working = this.#work().finally(() => {
      this.#working = undefined;
      this.#sinceMs = clock.monotonic();
    });
    return this.#working;
  }

  async #work(): Promise<void> {
    try {
      while (this.#again && !this.#stop.signal.aborted) {
        this.#again = false;
        for (const [partition, held] of [...this.#held]) {
          if (held.lost || !this.#wanted.has(partition)) await this.#release(partition, held);
        }
        const missing = [...this.#wanted].filter((partition) => !this.#held.has(partition));
        const gained = await Promise.all(missing.map((partition) => this.#take(partition)));
        if (this.#stop.signal.aborted) return;
        if (gained.length > 0) await this.#gain(gained);
        this.#options.onOwned(this.#options.engine.owned.size);
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#options.onError(error);
    }
  }

  async #gain(gained: readonly Gained[]): Promise<void> {
    const { engine, outputs } = this.#options;
    await engine.gain(gained);
    for (const { partition } of gained) {
      const held = this.#held.get(partition);
      if (held !== undefined) held.owned = !held.lost;
    }
    // Until then, what is not said yet may still come.
    if (!isSynced(engine.inputs)) return;
    await Promise.all(gained.map(({ partition }) => outputs.complete(partition)));
  }

  async #take(partition: number): Promise<Gained> {
    const { read, outputs, allRead, onLost, onError } = this.#options;
    const stop = new AbortController();
    const reader = read(partition, stop.signal);
    const running = reader.run().catch((error: unknown) => {
      if (!stop.signal.aborted) onError(error);
    });
    const held: Held = { reader, stop, running, owned: false, lost: false };
    this.#held.set(partition, held);
    // Only who has read all there was takes it over: its word is then as good.
    await Promise.all([reader.caughtUp, allRead()]);
    const current = await outputs.open(partition, (reason) => {
      held.owned = false;
      held.lost = true;
      onLost(reason);
    });
    // Its last owner may have been ahead until it was claimed: what it said is not taken back.
    await Promise.all([reader.allRead(), allRead()]);
    return { partition, current };
  }

  async #release(partition: number, held: Held): Promise<void> {
    const { engine, outputs } = this.#options;
    held.stop.abort();
    await held.running;
    await outputs.close(partition);
    await engine.lose(partition, held.reader.keys());
    this.#held.delete(partition);
  }
}
