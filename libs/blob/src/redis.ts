/**
 * Blobs in Redis, for several processes. A blob lives for a time that its owner renews (`retain`),
 * so what nobody's record names any more goes by itself, and owners need not know of each other.
 * Redis may lose any of it at any time: what is missing is put again by its owner.
 */
import { Redis, type ChainableCommander } from 'ioredis';
import { digestOf } from './digest.ts';
import { BlobsAwayError } from './port.ts';
import type { Blob, BlobStore, Digest } from './port.ts';

export interface RedisBlobsOptions {
  /** `redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]`, or `rediss://` with TLS. */
  readonly url: string;
  /** Where the URL has none. */
  readonly password?: string | undefined;
  /** How long a blob is kept after it was put or renewed. Default 1 h. */
  readonly ttlMs?: number;
  /** After which a call fails. Default 5 s. */
  readonly timeoutMs?: number;
  /** Told of each loss of the connection, each try to open it again that fails, each refused put. */
  readonly onError?: (error: unknown) => void;
  /** Told when there is one, and when it takes blobs again. */
  readonly onReady?: () => void;
}

const prefix = 'watershed:blob:';
const defaultTtlMs = 3_600_000;
const defaultTimeoutMs = 5_000;
const silentMs = 3_000;
/** So that one that says nothing is noticed within 5 s, whether or not something is wanted of it. */
const pingEveryMs = 2_000;
const maxReconnectMs = 2_000;
/** Of one pipeline: bounds what is in flight. */
const maxCommands = 500;
const maxBytes = 1024 * 1024;
/** Of blobs that are sent whether Redis has them or not: to ask first would take longer. */
const maxUnasked = 64 * 1024;

/** Its part of a process's options. */
export interface SharedBlobsConfig {
  readonly redisUrl: string | undefined;
  readonly redisPassword: string | undefined;
}

/** What is used of the process around it: it is told when Redis is away, and when it is there. */
export interface AroundBlobs<L> {
  readonly logger: L;
  readonly time: { now(): number };
  readonly readiness: {
    dependency(
      name: string,
      options: {
        readonly logger: L;
        readonly time: { now(): number };
        readonly meanwhile: string;
      },
    ): { failed(error: unknown): void; worked(): void };
  };
}

/** The blobs of processes that share the work. */
export function openSharedBlobs<L>(
  { redisUrl: url = '', redisPassword: password }: SharedBlobsConfig,
  { logger, readiness, time }: AroundBlobs<L>,
): BlobStore {
  const meanwhile = 'what is new is not served';
  const health = readiness.dependency('Redis', { logger, time, meanwhile });
  return openRedisBlobs({
    url,
    password,
    onError: (error) => health.failed(error),
    onReady: () => health.worked(),
  });
}

/** Resolves at once: a Redis that is away is waited for by the calls, each up to its time-out. */
export function openRedisBlobs(options: RedisBlobsOptions): BlobStore {
  return new RedisBlobs(options);
}

class RedisBlobs implements BlobStore {
  readonly shared = true;
  readonly reached: Promise<void>;
  readonly #redis: Redis;
  readonly #ttlMs: number;
  readonly #ping: NodeJS.Timeout;
  /** As it was told last. */
  #state: 'opening' | 'there' | 'away' = 'opening';
  /** It is there, and took the last blobs not: it is full, may only be read, or an ACL is missing. */
  #refuses = false;
  readonly #told: Pick<RedisBlobsOptions, 'onError' | 'onReady'>;
  #closed = false;

  constructor(options: RedisBlobsOptions) {
    this.#ttlMs = options.ttlMs ?? defaultTtlMs;
    this.#told = options;
    this.#redis = new Redis(withPassword(options), {
      connectionName: 'watershed',
      connectTimeout: options.timeoutMs ?? defaultTimeoutMs,
      commandTimeout: options.timeoutMs ?? defaultTimeoutMs,
      // One that says nothing is connected anew, which tells when it answers again.
      socketTimeout: silentMs,
      // Whoever calls tries again, and knows better than a queue what is still wanted.
      maxRetriesPerRequest: 0,
      retryStrategy: (attempt: number) => Math.min(maxReconnectMs, 50 * 2 ** Math.min(attempt, 6)),
    });
    const reached = Promise.withResolvers<void>();
    this.reached = reached.promise;
    const away = (error: unknown): void => {
      this.#state = 'away';
      options.onError?.(error);
    };
    // Without a listener it would end the process.
    this.#redis.on('error', away);
    this.#redis.on('ready', () => {
      this.#state = 'there';
      reached.resolve();
      options.onReady?.();
    });
    this.#redis.on('close', () => {
      // After an error it would say no more.
      if (this.#state !== 'there' || this.#closed) return;
      away(new Error('the connection to Redis is lost'));
    });
    this.#ping = setInterval(() => {
      // Whether it is answered, the connection's own time-out tells.
      if (this.#state === 'there') this.#redis.ping().catch(() => undefined);
    }, pingEveryMs).unref();
  }

  async put(blobs: readonly Blob[]): Promise<void> {
    try {
      await this.#put(blobs);
    } catch (error) {
      if (this.#state === 'there' && !(error instanceof BlobsAwayError)) {
        this.#refuses = true;
        this.#told.onError?.(error);
      }
      throw error;
    }
    if (!this.#refuses) return;
    this.#refuses = false;
    if (this.#state === 'there') this.#told.onReady?.();
  }

  async #put(blobs: readonly Blob[]): Promise<void> {
    for (const part of slices(blobs)) {
      const bytes = part.reduce((sum, blob) => sum + blob.bytes.length, 0);
      const absent = bytes <= maxUnasked ? part : await this.#renew(part);
      await this.#run(absent, (pipeline, { digest, bytes }) => {
        pipeline.set(prefix + digest, asBuffer(bytes), 'PX', this.#ttlMs);
      });
    }
  }

  /** Gives those that are not there. */
  async #renew(blobs: readonly Blob[]): Promise<readonly Blob[]> {
    const renewed = await this.#run(blobs, (pipeline, { digest }) => {
      pipeline.pexpire(prefix + digest, this.#ttlMs);
    });
    return blobs.filter((_, at) => renewed[at] !== 1);
  }

  async get(digests: readonly Digest[]): Promise<readonly (Uint8Array | undefined)[]> {
    const found: (Uint8Array | undefined)[] = [];
    for (let at = 0; at < digests.length; at += maxCommands) {
      const part = digests.slice(at, at + maxCommands);
      const answers = await this.#run(part, (pipeline, digest) => {
        pipeline.getBuffer(prefix + digest);
      });
      for (const [index, digest] of part.entries()) found.push(bytesOf(answers[index], digest));
    }
    return found;
  }

  async retain(live: ReadonlySet<Digest>): Promise<void> {
    const all = [...live];
    for (let at = 0; at < all.length; at += maxCommands) {
      await this.#run(all.slice(at, at + maxCommands), (pipeline, digest) => {
        pipeline.pexpire(prefix + digest, this.#ttlMs);
      });
    }
  }

  close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#ping);
    this.#redis.disconnect();
    return Promise.resolve();
  }

  /** One command for each; gives the answers in order, or fails with the first error. */
  async #run<T>(
    all: readonly T[],
    add: (pipeline: ChainableCommander, one: T) => void,
  ): Promise<readonly unknown[]> {
    if (all.length === 0) return [];
    const pipeline = this.#redis.pipeline();
    for (const one of all) add(pipeline, one);
    const answers = (await pipeline.exec()) ?? [];
    return answers.map(([error, answer]) => {
      if (error === null) return answer;
      const said = inWords(error);
      throw this.#state === 'away' ? new BlobsAwayError(said) : new Error(said, { cause: error });
    });
  }
}

/** For people: its client speaks of options that they have not. Redis' own words stay. */
function inWords(error: Error): string {
  const isUnanswered =
    error.name === 'MaxRetriesPerRequestError' || error.message === 'Command timed out';
  return isUnanswered ? 'Redis does not answer' : error.message;
}

/** In the URL, which goes before options: one with a user alone is taken to say that it is empty. */
function withPassword({ url, password }: RedisBlobsOptions): string {
  if (password === undefined) return url;
  const full = new URL(url);
  full.password = encodeURIComponent(password);
  return full.href;
}

function* slices(blobs: readonly Blob[]): IterableIterator<readonly Blob[]> {
  let part: Blob[] = [];
  let bytes = 0;
  for (const blob of blobs) {
    if (part.length > 0 && (part.length >= maxCommands || bytes + blob.bytes.length > maxBytes)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(blob);
    bytes += blob.bytes.length;
  }
  if (part.length > 0) yield part;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What others can write to is not believed: bytes of another digest are none. */
function bytesOf(answer: unknown, digest: Digest): Uint8Array | undefined {
  if (!(answer instanceof Uint8Array) || digestOf(answer) !== digest) return undefined;
  return answer;
}
