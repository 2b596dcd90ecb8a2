import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { OperatingError } from '../src/errors.ts';
import {
  createSealing,
  parseSealingKeys,
  readOrCreateSealingKeys,
  readSealingKeys,
} from '../src/sealing.ts';

const keyA = new Uint8Array(32).fill(1);
const keyB = new Uint8Array(32).fill(2);

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sealing-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return error instanceof OperatingError ? error.code : 'another error';
  }
  return 'no error';
}

test('what was sealed opens to the same bytes, and equal secrets are sealed to equal bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (plaintext) => {
      const { sealed, keyId } = createSealing([keyA]).seal(plaintext);
      expect(createSealing([keyA]).seal(plaintext)).toEqual({ sealed, keyId });
      expect(createSealing([keyA]).unseal(sealed, keyId)).toEqual(plaintext);
    }),
  );
});

test('different secrets have different nonces, and no plaintext is in the sealed bytes', () => {
  const sealing = createSealing([keyA]);
  const one = sealing.seal(Buffer.from('PRIVATE KEY one')).sealed;
  const two = sealing.seal(Buffer.from('PRIVATE KEY two')).sealed;
  expect(one.subarray(1, 13)).not.toEqual(two.subarray(1, 13));
  expect(Buffer.from(one).includes('PRIVATE KEY')).toBe(false);
});

test('any changed bit is noticed', () => {
  const sealing = createSealing([keyA]);
  const { sealed, keyId } = sealing.seal(Buffer.from('secret'));
  for (let at = 0; at < sealed.length; at++) {
    const changed = sealed.slice();
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(codeOf(() => sealing.unseal(changed, keyId))).toBe('corrupt');
  }
  expect(codeOf(() => sealing.unseal(sealed.subarray(0, 20), keyId))).toBe('corrupt');
});

test('a new key in front seals, and the old one behind it still opens', () => {
  const old = createSealing([keyA]).seal(Buffer.from('secret'));
  const both = createSealing([keyB, keyA]);
  expect(Buffer.from(both.unseal(old.sealed, old.keyId)).toString()).toBe('secret');
  expect(both.seal(Buffer.from('secret')).keyId).not.toBe(old.keyId);
  expect(codeOf(() => createSealing([keyB]).unseal(old.sealed, old.keyId))).toBe('not-found');
});

test('keys are read from base64 or hexadecimal; a bad one is refused and not shown', () => {
  const [a, b] = [Buffer.from(keyA).toString('base64'), Buffer.from(keyB).toString('hex')];
  const text = `# the new one\n${a}\n${b}\n`;
  expect(parseSealingKeys(text)).toEqual([keyA, keyB]);
  expect(() => parseSealingKeys('c2hvcnQ=')).toThrow('sealing key 1 is not 32 bytes');
  expect(() => parseSealingKeys('\n')).toThrow('no sealing key');
  expect(codeOf(() => createSealing([]))).toBe('invalid');
});

test('a key is made once, for this user alone, and read again after that', async () => {
  const path = join(folder, 'data', 'sealing.key');
  const [first, again] = await Promise.all([
    readOrCreateSealingKeys(path),
    readOrCreateSealingKeys(path),
  ]);
  expect(again).toEqual(first);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readSealingKeys(path)).toEqual(first);
  expect((await readFile(path, 'utf8')).length).toBe(45);
});

test('a key file that is absent or broken is an error that names the file', async () => {
  await expect(readSealingKeys(join(folder, 'none'))).rejects.toThrow(join(folder, 'none'));
  await writeFile(join(folder, 'bad'), 'x');
  await expect(readSealingKeys(join(folder, 'bad'))).rejects.toThrow('32 bytes');
});
