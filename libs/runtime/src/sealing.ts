/**
 * Sealing of private keys: who writes secrets to the log seals them, and only who holds the sealing
 * key can open them again. Sealing is deterministic, so that equal secrets have equal bytes and
 * equal digests.
 *
 * AES-256-GCM; the nonce is an HMAC-SHA256 of the plaintext under a key of its own, cut to 96 bits.
 * Two different plaintexts get the same nonce with a chance of n²/2⁹⁷ for n secrets; equal ones get
 * equal bytes, which tells no more than that they are equal (the idea of RFC 5297, with GCM). Both
 * keys come from the 32-byte sealing key by HKDF (RFC 5869).
 *
 * Sealed bytes: 1 byte format (1), 12 bytes nonce, the ciphertext, 16 bytes tag. The key's id is
 * authenticated.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { access, link, open, readFile, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectory, unlessExists } from './data-dir.ts';
import { OperatingError } from './errors.ts';

const format = 1;
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

export interface Sealed {
  readonly sealed: Uint8Array;
  readonly keyId: string;
}

/** Opens what any of its keys sealed; seals with the first. */
export interface Sealing {
  /** Of the key that seals. */
  readonly keyId: string;
  seal(plaintext: Uint8Array): Sealed;
  /** Throws `not-found` for a key that it does not hold, `corrupt` for bytes that nobody sealed. */
  unseal(sealed: Uint8Array, keyId: string): Uint8Array;
}

interface DerivedKey {
  readonly id: string;
  readonly cipher: Uint8Array;
  readonly nonce: Uint8Array;
}

/**
 * `keys`: 32 bytes each. The first seals; the others still open what they sealed, so that a key is
 * changed by putting the new one in front, and taking the old one away when everything was sealed
 * again.
 */
export function createSealing(keys: readonly Uint8Array[]): Sealing {
  const derived = keys.map(derive);
  const [first] = derived;
  if (first === undefined) throw new OperatingError('invalid', 'no sealing key was given');
  const byId = new Map(derived.map((key) => [key.id, key]));
  return {
    keyId: first.id,
    seal: (plaintext) => ({ sealed: sealWith(first, plaintext), keyId: first.id }),
    unseal: (sealed, keyId) => {
      const key = byId.get(keyId);
      if (key === undefined) {
        throw new OperatingError('not-found', `no sealing key with id ${JSON.stringify(keyId)}`);
      }
      return unsealWith(key, sealed);
    },
  };
}

function derive(key: Uint8Array): DerivedKey {
  if (key.length !== keyBytes) {
    throw new OperatingError('invalid', `a sealing key has ${keyBytes} bytes, not ${key.length}`);
  }
  const part = (purpose: string, length: number): Uint8Array =>
    new Uint8Array(hkdfSync('sha256', key, '', `watershed sealing ${purpose} v1`, length));
  return {
    id: Buffer.from(part('id', 8)).toString('hex'),
    cipher: part('cipher', keyBytes),
    nonce: part('nonce', keyBytes),
  };
}

function sealWith(key: DerivedKey, plaintext: Uint8Array): Uint8Array {
  const nonce = createHmac('sha256', key.nonce).update(plaintext).digest().subarray(0, nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key.cipher, nonce);
  cipher.setAAD(Buffer.from(key.id));
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return new Uint8Array(Buffer.concat([Buffer.of(format), nonce, body, cipher.getAuthTag()]));
}

function unsealWith(key: DerivedKey, sealed: Uint8Array): Uint8Array {
  if (sealed.length < 1 + nonceBytes + tagBytes || sealed[0] !== format) {
    throw new OperatingError('corrupt', 'not a sealed secret of a known format');
  }
  const bodyEnd = sealed.length - tagBytes;
  const decipher = createDecipheriv('aes-256-gcm', key.cipher, sealed.subarray(1, 1 + nonceBytes), {
    authTagLength: tagBytes,
  });
  decipher.setAAD(Buffer.from(key.id));
  decipher.setAuthTag(sealed.subarray(bodyEnd));
  try {
    const body = decipher.update(sealed.subarray(1 + nonceBytes, bodyEnd));
    return new Uint8Array(Buffer.concat([body, decipher.final()]));
  } catch (cause) {
    throw new OperatingError('corrupt', 'the sealed secret was changed', { cause });
  }
}

/**
 * Keys as people keep them: one per line, 32 bytes in base64 or hexadecimal; lines that start with
 * `#` are comments. Throws `invalid` and never shows a key.
 */
export function parseSealingKeys(text: string): readonly Uint8Array[] {
  const lines = text.split(/\r?\n/u).map((line) => line.trim());
  const keys = lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line, index) => {
      const key = /^[0-9a-f]{64}$/iu.test(line)
        ? Buffer.from(line, 'hex')
        : Buffer.from(line, 'base64');
      if (key.length === keyBytes) return new Uint8Array(key);
      const reason = `sealing key ${index + 1} is not ${keyBytes} bytes in base64 or hexadecimal`;
      throw new OperatingError('invalid', reason);
    });
  if (keys.length === 0) throw new OperatingError('invalid', 'there is no sealing key in the text');
  return keys;
}

export async function readSealingKeys(path: string): Promise<readonly Uint8Array[]> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new OperatingError('not-found', `cannot read the sealing key file ${path}`, { cause });
  });
  return parseSealingKeys(text);
}

/**
 * Reads the key file, or makes one that only this user can read: for a single process, whose
 * ingester and pusher are the only ones that need it. Two processes that start at once end up with
 * the same key.
 */
export async function readOrCreateSealingKeys(path: string): Promise<readonly Uint8Array[]> {
  if (await exists(path)) return readSealingKeys(path);
  await makeDirectory(dirname(path));
  const temporary = `${path}.${randomBytes(8).toString('hex')}`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(`${randomBytes(keyBytes).toString('base64')}\n`);
    await file.sync();
    // A link is made whole or not at all, and never over what is there.
    await link(temporary, path).catch(unlessExists);
  } finally {
    await file.close();
    await unlink(temporary);
  }
  return readSealingKeys(path);
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
