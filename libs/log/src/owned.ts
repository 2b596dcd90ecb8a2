import { randomUUID } from 'node:crypto';
import {
  Epochs,
  contains,
  decodeClaim,
  decodeEpoch,
  domainId,
  encodeClaim,
  epochHeader,
  isClaimKey,
  isInDomain,
  isStamped,
  overlap,
  sameBytes,
  stampOf,
  type Domain,
  type Stamp,
} from './ownership.ts';
import { watchLagMs } from './owned-options.ts';
import type { Headers, OwnedPartitionOptions, OwnedWrite } from './owned-options.ts';
import { isRetriable, LogError, type Append, type LogRecord, type Position } from './port.ts';
import { ReadBack } from './read-back.ts';
import { Notice, pause } from './time.ts';

/**
 * The writer's side of a domain (`ownership.ts` has the protocol): holds what the log should say,
 * appends only what differs from it, and keeps it so. Opening takes the domain over from whoever
 * had it, or had all of the partition.
 *
 * It reads its own partition all the time. After a record of an older owner it appends its own
 * value (or tombstone) again. When it sees a newer claim, it is `lost`: its writes fail with
 * `fenced`, and another one must be opened, by whoever should own the domain, to go on. So it is,
 * with `other-log`, when the log has lost what it had acknowledged.
 *
 * When an append fails without an answer, it may still arrive, behind later ones. So the owner
 * claims again (which makes that append void) before it appends anything else.
 */
export class OwnedPartition {
  readonly #o: OwnedPartitionOptions;
  readonly #domain: Domain | undefined;
  readonly #id: string;
  /** What the log should say. */
  readonly #held = new Map<string, Uint8Array>();
  /** The last append of these keys may be another than what is held: the next write must append. */
  readonly #doubtful = new Set<string>();
  /**
   * Before the claim, the last append of these was void and no valid one is left: their value is
   * unknown, and readers may have different ones (`complete`).
   */
  readonly #contested = new Set<string>();
  /** Keys of earlier claims of the domain, this owner's own among them. */
  readonly #staleClaims = new Set<string>();
  readonly #claims = new Set<string>();
  /** Of this owner's claims, epochs ascending, as read back; new appends have the last. */
  readonly #stamps: Stamp[] = [];
  readonly #before = new Epochs();
  readonly #lost = new AbortController();
  readonly #stop = new AbortController();
  readonly #readBack: ReadBack;
  /** The watch has read more, or the owner is lost. */
  readonly #news = new Notice();
  #position: Position | undefined;
  #caughtUp = false;
  /** The newest that was read on a record without a claim of it (see `#see`). -1: none was. */
  #unclaimed = -1;
  /** While the owner claims again after a failure; writes wait for it. */
  #reclaiming: Promise<void> | undefined;
  #lastAppend: Promise<unknown> = Promise.resolve();
  #watching: Promise<void> = Promise.resolve();

  private constructor(options: OwnedPartitionOptions) {
    this.#o = options;
    this.#domain = options.domain;
    this.#id = domainId(options.domain);
    const gone = (offset: number): void => {
      const reason = `what was appended at offset ${offset} is not there any more`;
      this.#lose(new LogError('other-log', `${this.#label}: ${reason}`, { retriable: false }));
    };
    this.#readBack = new ReadBack(options, gone, this.#stop.signal);
  }

  /**
   * Reads the partition, claims the domain and repairs what an older owner left void. Fails with
   * the log's error if the log does; the claim may stand then, and is superseded by the next one.
   */
  static async open(options: OwnedPartitionOptions): Promise<OwnedPartition> {
    const owned = new OwnedPartition(options);
    owned.#watching = owned.#watch();
    try {
      await owned.#until(() => owned.#caughtUp);
      await owned.#claim();
      await owned.#settle();
    } catch (error) {
      await owned.close();
      throw error;
    }
    return owned;
  }

  /** The offset of the claim. Changes when the owner had to claim again. */
  get epoch(): number {
    return this.#stamps.at(-1)?.epoch ?? -1;
  }

  /** Aborts when this owner must stop: a newer one exists, or the log is gone; with a LogError. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  get(key: string): Uint8Array | undefined {
    return this.#held.get(key);
  }

  entries(): IterableIterator<readonly [key: string, value: Uint8Array]> {
    return this.#held.entries();
  }

  /** Resolves when `value` is the key's last append; `false` if it already was. */
  async set(key: string, value: Uint8Array, headers: Headers = {}): Promise<boolean> {
    return (await this.write([{ key, value, headers }])) > 0;
  }

  /** Resolves when the key is gone; `false` if it already was. */
  async delete(key: string, headers: Headers = {}): Promise<boolean> {
    return (await this.write([{ key, value: undefined, headers }])) > 0;
  }

  /**
   * Appends, in order, those of `changes` that differ from what is held. Resolves with their
   * number, when they and all earlier writes are durable. On an error that can be retried the
   * changes stay what the owner wants: they are appended when the log is back, whether or not they
   * are written again.
   */
  async write(changes: readonly OwnedWrite[]): Promise<number> {
    for (const { key } of changes) {
      if (isClaimKey(key) || !isInDomain(key, this.#domain)) {
        throw new RangeError(`${JSON.stringify(key)} is not a key of ${this.#label}`);
      }
    }
    await this.#reclaiming;
    this.#lost.signal.throwIfAborted();
    const appends: Append[] = [];
    const undo = new Map<string, Uint8Array | undefined>();
    for (const { key, value, headers } of changes) {
      const held = this.#held.get(key);
      if (sameBytes(held, value) && !this.#doubtful.has(key) && !this.#contested.has(key)) continue;
      if (!undo.has(key)) undo.set(key, held);
      this.#hold(key, value);
      appends.push(this.#stamped(key, value, headers));
    }
    if (appends.length === 0) {
      // The equal value may still be on its way; of another that can never be appended, no matter.
      await this.#lastAppend.catch((error: unknown) => {
        if (isRetriable(error) || changes.some(({ key }) => this.#doubtful.has(key))) throw error;
      });
      await this.#reclaiming;
      this.#lost.signal.throwIfAborted();
      return 0;
    }
    try {
      await this.#append(appends);
    } catch (error) {
      // What can never be appended must not stay wanted.
      if (error instanceof LogError && !error.retriable && !this.#lost.signal.aborted) {
        for (const [key, value] of undo) this.#hold(key, value);
      }
      throw error;
    }
    return appends.length;
  }

  /**
   * All that should be there has been written: keys of which nobody knows the value are deleted,
   * older claims are released. Resolves with the number of tombstones. What the log cannot take
   * now is brought to it when it is back; a loss is told by `lost`.
   */
  async complete(): Promise<number> {
    const gone = [...this.#contested];
    try {
      await this.write(gone.map((key) => ({ key, value: undefined })));
      await this.#release();
    } catch (error) {
      if (!isRetriable(error) && !this.#lost.signal.aborted) throw error;
    }
    return gone.length;
  }

  /** Stops reading. The claim stands until the next owner's. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#lose(new LogError('closed', `${this.#label} was closed`, { retriable: false }));
    await this.#watching;
  }

  get #label(): string {
    const { topic, partition, domain } = this.#o;
    return `${topic}/${partition}${domain === undefined ? '' : ` (${domain.value})`}`;
  }

  #hold(key: string, value: Uint8Array | undefined): void {
    if (value === undefined) this.#held.delete(key);
    else this.#held.set(key, value);
  }

  #stamped(key: string, value: Uint8Array | undefined, headers?: Headers): Append {
    const { topic, partition } = this.#o;
    const stamped = { ...headers, ...this.#stamps.at(-1)?.headers };
    return { topic, partition, key, value, headers: stamped };
  }

  /** Appends at once (the log keeps the order of calls); on success the keys are settled. */
  async #append(appends: readonly Append[]): Promise<void> {
    for (const { key } of appends) {
      this.#doubtful.delete(key);
      this.#contested.delete(key);
    }
    const before = this.#readBack.acknowledged;
    const call = this.#o.log.append(appends);
    this.#lastAppend = call;
    try {
      this.#readBack.acknowledge(await call, before);
    } catch (error) {
      for (const { key } of appends) if (!isClaimKey(key)) this.#doubtful.add(key);
      if (!(error instanceof LogError)) throw error;
      if (error.code === 'closed') this.#lose(error);
      else if (error.retriable) this.#reclaim();
      throw error;
    }
  }

  async #claim(): Promise<void> {
    const { topic, partition, writer } = this.#o;
    const claim = encodeClaim((this.#o.newClaimId ?? randomUUID)(), this.#domain, writer);
    this.#claims.add(claim.key);
    const [epoch = 0] = await this.#o.log.append([{ topic, partition, ...claim }]);
    await this.#readBack.reads(epoch);
    this.#lost.signal.throwIfAborted();
  }

  /**
   * After an append of unknown outcome: a new epoch, then everything in doubt again. Tries until it
   * is lost.
   */
  #reclaim(): void {
    if (this.#reclaiming !== undefined) return;
    const reclaim = async (): Promise<void> => {
      while (!this.#lost.signal.aborted) {
        try {
          // First see whether somebody else has claimed: to claim now would be to take it back.
          const end = await this.#o.log.end(this.#o.topic, this.#o.partition);
          await this.#readBack.reads(end.offset - 1);
          this.#lost.signal.throwIfAborted();
          await this.#claim();
          // What has come meanwhile relies on it too.
          do await this.#settle();
          while (this.#doubtful.size > 0);
          this.#lastAppend = Promise.resolve();
          break;
        } catch (error) {
          if (!isRetriable(error)) this.#lose(error);
        }
        await pause(this.#o.time, this.#o.retryMs ?? 500, this.#lost.signal);
      }
      this.#reclaiming = undefined;
    };
    this.#reclaiming = reclaim();
  }

  /** Appends what is held of all keys in doubt; then older claims are not needed any more. */
  async #settle(): Promise<void> {
    while (this.#doubtful.size > 0) {
      const keys = [...this.#doubtful];
      await this.#append(keys.map((key) => this.#stamped(key, this.#held.get(key))));
    }
    await this.#release();
  }

  async #release(): Promise<void> {
    if (this.#contested.size > 0 || this.#doubtful.size > 0) return;
    const stale = [...this.#staleClaims];
    if (stale.length === 0) return;
    const { topic, partition } = this.#o;
    await this.#o.log.append(stale.map((key) => ({ topic, partition, key, value: undefined })));
    for (const key of stale) this.#staleClaims.delete(key);
  }

  #lose(reason: unknown): void {
    if (this.#lost.signal.aborted) return;
    this.#lost.abort(reason);
    this.#stop.abort();
    this.#news.tell();
  }

  /** Resolves when the watch has made it true; rejects when the owner is lost. */
  async #until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      this.#lost.signal.throwIfAborted();
      await this.#news.next();
    }
    this.#lost.signal.throwIfAborted();
  }

  async #watch(): Promise<void> {
    const { log, topic, partition, time } = this.#o;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        // Mostly it reads what it has appended itself: only who claims is in a hurry.
        const lagMs = () => (this.epoch < 0 || this.#reclaiming !== undefined ? 0 : watchLagMs);
        const batches = log.read(topic, partition, this.#position, signal, { lagMs });
        for await (const { reset, records, position, caughtUp } of batches) {
          if (reset !== undefined && reset !== 'older-than-tombstones' && this.#position) {
            throw new LogError('other-log', `${topic}/${partition} is another log now (${reset})`, {
              retriable: false,
            });
          }
          const repairs = new Set<string>();
          for (const record of records) this.#see(record, repairs);
          this.#position = position;
          this.#caughtUp = caughtUp;
          this.#readBack.advance(position.offset);
          this.#repair(repairs);
          this.#news.tell();
        }
      } catch (error) {
        if (!isRetriable(error) || this.epoch === -1) this.#lose(error);
      }
      await pause(time, this.#o.retryMs ?? 500, signal);
    }
  }

  #see(record: LogRecord, repairs: Set<string>): void {
    const { key, value, offset } = record;
    if (isClaimKey(key)) {
      this.#seeClaim(record);
      return;
    }
    if (!isInDomain(key, this.#domain)) return;
    if (this.#stamps.length === 0) {
      // Another owner's, before the claim: what is taken over.
      const verdict = this.#before.judge(record);
      if (verdict === 'valid') {
        this.#hold(key, value);
        this.#o.takenOver?.(record);
        this.#doubtful.delete(key);
        this.#contested.delete(key);
      } else (this.#held.has(key) ? this.#doubtful : this.#contested).add(key);
      return;
    }
    const stamp = this.#stamps.findLast((own) => own.epoch < offset);
    if (stamp === undefined) return;
    if (this.#stamps.some((own) => isStamped(record, own))) this.#readBack.see(offset);
    const epoch = decodeEpoch(record.headers[epochHeader])?.epoch ?? -1;
    // Its claim was in the tail that the log has lost, and now the log is as long again.
    if (epoch > stamp.epoch && epoch < offset) this.#unclaimed = Math.max(this.#unclaimed, epoch);
    if (!isStamped(record, stamp) || epoch < this.#unclaimed) repairs.add(key);
  }

  #seeClaim(record: LogRecord): void {
    const { offset } = record;
    const claim = decodeClaim(record);
    if (claim === undefined) {
      this.#staleClaims.delete(record.key);
    } else if (this.#claims.has(claim.key)) {
      if (this.#stamps.some(({ epoch }) => epoch === offset)) return;
      if (this.#stamps.length > 0) for (const key of this.#claims) this.#staleClaims.add(key);
      this.#stamps.push(stampOf(claim, offset, this.#domain));
      this.#staleClaims.delete(claim.key);
    } else if (overlap(claim.domain, this.#id)) {
      const own = this.#stamps[0]?.epoch;
      if (contains(claim.domain, this.#id) && (own === undefined || offset < own)) {
        this.#before.judge(record);
        // A wider one is not only this owner's to release.
        if (claim.domain === this.#id) this.#staleClaims.add(claim.key);
        return;
      }
      const by = `${claim.writer} claimed ${claim.domain || 'all of it'} at offset ${offset}`;
      this.#lose(new LogError('fenced', `${this.#label} is lost: ${by}`, { retriable: false }));
    }
  }

  #repair(keys: ReadonlySet<string>): void {
    if (keys.size === 0 || this.#lost.signal.aborted) return;
    for (const key of keys) this.#doubtful.add(key);
    // Readers take what is unclaimed for the newest owner's: only a newer claim is worth more.
    if (this.#unclaimed > this.epoch) this.#reclaim();
    // A new claim settles all that is in doubt; else it is done here, now.
    if (this.#reclaiming !== undefined) return;
    const known = [...keys].filter((key) => !this.#contested.has(key));
    const again = known.map((key) => this.#stamped(key, this.#held.get(key)));
    this.#append(again).catch(() => undefined);
  }
}
