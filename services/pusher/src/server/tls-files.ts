import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { Timer, Timers } from '@watershed/runtime/clock.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import type { TlsOptions, TlsSource } from './port.ts';

export interface TlsFilesOptions {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string | undefined;
  readonly timers: Timers;
  readonly logger: Logger;
  /** How often it is looked whether they changed. Default 1 s. */
  readonly everyMs?: number;
}

/**
 * A listener's certificate, its key and the roots of its clients, in files. They are looked at now
 * and then, which needs nothing of the file system: renames, and the links by which Kubernetes
 * swaps a mounted Secret, are all the same. What does not fit together (a rotation that is half
 * done) is not taken, and the last that did stays.
 */
export class TlsFiles implements TlsSource {
  readonly #options: TlsFilesOptions;
  #current: TlsOptions;
  #seen: string;
  #timer: Timer | undefined;
  #stopped = false;

  private constructor(options: TlsFilesOptions, current: TlsOptions, seen: string) {
    this.#options = options;
    this.#current = current;
    this.#seen = seen;
  }

  /** @throws OperatingError naming the files */
  static async open(options: TlsFilesOptions): Promise<TlsFiles> {
    try {
      const seen = await stampOf(options);
      return new TlsFiles(options, await load(options), seen);
    } catch (cause) {
      const { certFile, keyFile, caFile = 'no roots' } = options;
      const problem = `cannot serve TLS with ${certFile}, ${keyFile} and ${caFile}`;
      throw new OperatingError('invalid', problem, { cause });
    }
  }

  get current(): TlsOptions {
    return this.#current;
  }

  /** Calls back with each new content until `stop`. */
  watch(changed: (now: TlsOptions) => void): void {
    this.#timer = this.#options.timers.after(this.#options.everyMs ?? 1_000, () => {
      void this.#look(changed).then(() => {
        if (!this.#stopped) this.watch(changed);
      });
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #look(changed: (now: TlsOptions) => void): Promise<void> {
    const { logger } = this.#options;
    let seen = 'unreadable';
    try {
      seen = await stampOf(this.#options);
      if (seen === this.#seen) return;
      const now = await load(this.#options);
      const { key, cert, clientCa } = this.#current;
      const same = now.key === key && now.cert === cert && now.clientCa === clientCa;
      this.#current = now;
      if (same || this.#stopped) return;
      changed(now);
      logger.info('the certificates of the TLS listener were read again');
    } catch (error) {
      // Said once, not every second.
      if (seen !== this.#seen) {
        logger.warn('new certificates cannot be used; the last ones stay', { error });
      }
    } finally {
      this.#seen = seen;
    }
  }
}

async function load({ certFile, keyFile, caFile }: TlsFilesOptions): Promise<TlsOptions> {
  const [cert, key, clientCa] = await Promise.all([
    readFile(certFile, 'utf8'),
    readFile(keyFile, 'utf8'),
    caFile === undefined ? undefined : readFile(caFile, 'utf8'),
  ]);
  const options = { cert, key, ...(clientCa === undefined ? {} : { clientCa }) };
  // Fails where the key is not the certificate's.
  createSecureContext({ cert, key, ...(clientCa === undefined ? {} : { ca: clientCa }) });
  return options;
}

/** Changes when one of the files does, or another takes its place. */
async function stampOf({ certFile, keyFile, caFile }: TlsFilesOptions): Promise<string> {
  const files = [certFile, keyFile, ...(caFile === undefined ? [] : [caFile])];
  const stats = await Promise.all(files.map((file) => stat(file, { bigint: true })));
  return stats.map(({ ino, mtimeNs, size }) => `${ino}.${mtimeNs}.${size}`).join(' ');
}
