import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Clock } from '@watershed/runtime/clock.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import type { KeyPlace } from './token-rules.ts';

/** A public key; one of a PEM file has no id. */
export interface PublicKey {
  readonly id: string | undefined;
  readonly key: KeyObject;
}

const maxBytes = 256 * 1024;
const maxKeys = 64;
const fetchMs = 5_000;
/** Read again when in use: a file costs nothing, and keys rotate over days. */
const fileFreshMs = 10_000;
const urlFreshMs = 300_000;
/** A token with an unknown key asks for a new reading, at most so often. */
const cooldownMs = 10_000;

export interface KeySetOptions {
  readonly place: KeyPlace;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** An issuer's keys, read when they are needed; while they cannot be read, those that were. */
export class KeySet {
  readonly #options: KeySetOptions;
  #keys: readonly PublicKey[] | undefined;
  #readMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(options: KeySetOptions) {
    this.#options = options;
  }

  /** Keys that a token may be signed with; those without an id may have signed any. */
  async candidates(id: string | undefined): Promise<readonly PublicKey[]> {
    const { place, clock } = this.#options;
    const ageMs = clock.monotonic() - this.#readMs;
    if (this.#keys === undefined) await this.#read();
    else if (place.kind === 'file' && ageMs > fileFreshMs) await this.#read();
    else if (place.kind === 'url' && ageMs > urlFreshMs) void this.#read();
    const found = this.#find(id);
    if (found.length > 0 || clock.monotonic() - this.#readMs < cooldownMs) return found;
    await this.#read();
    return this.#find(id);
  }

  #find(id: string | undefined): readonly PublicKey[] {
    const keys = this.#keys ?? [];
    return keys.filter((one) => id === undefined || one.id === undefined || one.id === id);
  }

  #read(): Promise<void> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readOnce(): Promise<void> {
    const { place, clock, logger } = this.#options;
    this.#readMs = clock.monotonic();
    try {
      this.#keys = parseKeys(await textOf(place));
    } catch (error) {
      logger.warn('the keys of an issuer of tokens cannot be read now', {
        from: place.kind === 'url' ? place.url : place.kind === 'file' ? place.path : 'JWT_RULE',
        error,
      });
    }
  }
}

async function textOf(place: KeyPlace): Promise<string> {
  if (place.kind === 'text') return place.text;
  return place.kind === 'file' ? await readText(place.path) : await fetchText(place.url);
}

async function readText(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(maxBytes + 1), 0, maxBytes + 1, 0);
    if (bytesRead > maxBytes) throw tooLarge();
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

async function fetchText(url: string): Promise<string> {
  // A redirect could lead out of TLS.
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(fetchMs) });
  if (!response.ok) throw new OperatingError('unavailable', `answered ${response.status}`);
  const body: AsyncIterable<Uint8Array> | null = response.body;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  if (body !== null) {
    for await (const chunk of body) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw tooLarge();
      chunks.push(chunk);
    }
  }
  return Buffer.concat(chunks).toString('utf8');
}

function tooLarge(): OperatingError {
  return new OperatingError('too-large', `over ${maxBytes} bytes of keys`);
}

/** A JWKS (RFC 7517), or PEM: public keys and certificates. @throws where there is no usable key */
export function parseKeys(text: string): readonly PublicKey[] {
  const keys = text.includes('-----BEGIN ') ? pemKeys(text) : jwksKeys(text);
  if (keys.length === 0) throw new OperatingError('invalid', 'there is no public key');
  if (keys.length > maxKeys) throw new OperatingError('too-large', `over ${maxKeys} keys`);
  return keys;
}

function pemKeys(text: string): readonly PublicKey[] {
  const blocks = text.match(/-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----/gu) ?? [];
  if (blocks.some((block) => block.includes('PRIVATE'))) {
    throw new OperatingError('invalid', 'a private key; only public ones are needed here');
  }
  return blocks.map((block) => ({ id: undefined, key: createPublicKey(block) }));
}

function jwksKeys(text: string): readonly PublicKey[] {
  const parsed: unknown = JSON.parse(text);
  const list: unknown = isRecord(parsed) ? parsed['keys'] : undefined;
  if (!Array.isArray(list)) throw new OperatingError('invalid', 'neither a JWKS nor PEM');
  return list.filter(isSigningKey).map((jwk) => ({
    id: typeof jwk.kid === 'string' ? jwk.kid : undefined,
    key: createPublicKey({ key: jwk, format: 'jwk' }),
  }));
}

/** Not a shared secret, and not for encryption. */
function isSigningKey(value: unknown): value is JsonWebKey & { readonly kid?: unknown } {
  return (
    isRecord(value) && ['RSA', 'EC', 'OKP'].includes(String(value['kty'])) && value['use'] !== 'enc'
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
