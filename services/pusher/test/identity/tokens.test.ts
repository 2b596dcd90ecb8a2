import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { exportJWK, SignJWT } from 'jose';
import { afterAll, describe, expect, it } from 'vitest';
import { makeAuthority } from '../../../../test/components/certificates.ts';
import { KeySet, parseKeys } from '../../src/identity/key-set.ts';
import { parseJwtRule, type KeyPlace } from '../../src/identity/token-rules.ts';
import { createVerifyToken } from '../../src/identity/tokens.ts';
import { loggerInto } from '../support/world.ts';

const issuer = 'https://kubernetes.default.svc.cluster.local';
const dir = mkdtempSync(join(tmpdir(), 'tokens-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const one = generateKeyPairSync('rsa', { modulusLength: 2048 });
const two = generateKeyPairSync('ec', { namedCurve: 'P-256' });

async function jwks(...keys: (readonly [KeyObject, string])[]): Promise<string> {
  const list = keys.map(async ([key, kid]) => ({ ...(await exportJWK(key)), kid }));
  return JSON.stringify({ keys: await Promise.all(list) });
}

const time = new VirtualTime(1_800_000_000_000);
const logs: string[] = [];

interface TokenOptions {
  readonly sign?: { readonly key: KeyObject | Uint8Array; readonly alg: string };
  readonly kid?: string;
  readonly claims?: Record<string, unknown>;
}

/** As kube-apiserver issues them. */
function token(options: TokenOptions = {}): Promise<string> {
  const { sign = { key: one.privateKey, alg: 'RS256' }, kid = 'one', claims = {} } = options;
  const now = Math.floor(time.now() / 1_000);
  return new SignJWT({
    iss: issuer,
    sub: 'system:serviceaccount:shop:web',
    aud: ['istio-ca'],
    iat: now,
    nbf: now,
    exp: now + 3_600,
    'kubernetes.io': { namespace: 'shop', pod: { name: 'web-1' }, serviceaccount: { name: 'web' } },
    ...claims,
  })
    .setProtectedHeader({ alg: sign.alg, ...(kid === '' ? {} : { kid }) })
    .sign(sign.key);
}

function verifier(keys: KeyPlace): (text: string) => Promise<unknown> {
  return createVerifyToken({
    rules: [{ issuer, audiences: ['istio-ca'], keys }],
    trustDomains: ['cluster.local'],
    clock: time,
    logger: loggerInto(logs),
  });
}

const inline: KeyPlace = { kind: 'text', text: await jwks([one.publicKey, 'one']) };
const web1 = { namespace: 'shop', serviceAccount: 'web', pod: 'web-1' };

describe('a token', () => {
  const verify = verifier(inline);

  it('of a service account is its identity, of the Pod that it is bound to', async () => {
    expect(await verify(await token())).toEqual(web1);
    const unbound = await token({ claims: { 'kubernetes.io': { namespace: 'shop' } } });
    expect(await verify(unbound)).toEqual({ ...web1, pod: '' });
    const jwtSvid = await token({ claims: { sub: 'spiffe://cluster.local/ns/shop/sa/web' } });
    expect(await verify(jwtSvid)).toEqual({ ...web1, pod: '' });
  });

  it('is refused with a reason that quotes nothing of it', async () => {
    const now = Math.floor(time.now() / 1_000);
    const text = await token();
    const [head = '', body = '', signature = ''] = text.split('.');
    const changed = Buffer.from(
      Buffer.from(body, 'base64url').toString().replace(':web"', ':admin"'),
    ).toString('base64url');
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    const secret = { key: randomBytes(64), alg: 'HS256' };
    const pem = one.publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const refused: (readonly [string, RegExp])[] = [
      ['', /not a JWT/u],
      ['a.b.c', /not a JWT/u],
      [`${text}${'x'.repeat(9_000)}`, /over 8192 characters/u],
      [`${head}.${changed}.${signature}`, /signature verification failed/u],
      [`${none}.${body}.`, /"alg"|Algorithm/u],
      [await token({ claims: { iss: 'https://elsewhere' } }), /its issuer is not trusted/u],
      [await token({ claims: { iss: undefined } }), /its issuer is not trusted/u],
      [await token({ claims: { aud: ['api'] } }), /"aud"/u],
      [await token({ claims: { aud: undefined } }), /"aud"/u],
      [await token({ claims: { exp: now - 31 } }), /"exp"/u],
      [await token({ claims: { exp: undefined } }), /"exp"/u],
      [await token({ claims: { nbf: now + 31 } }), /"nbf"/u],
      [await token({ claims: { sub: 'somebody@example.com' } }), /no service account/u],
      [await token({ claims: { sub: 'system:serviceaccount:a:b:c' } }), /no service account/u],
      [await token({ claims: { sub: 'spiffe://other/ns/shop/sa/web' } }), /no service account/u],
      [await token({ sign: { key: two.privateKey, alg: 'ES256' } }), /./u],
      [await token({ sign: secret }), /"alg"|Algorithm/u],
      [await token({ sign: { key: Buffer.from(pem), alg: 'HS256' } }), /"alg"|Algorithm/u],
      [await token({ kid: 'three' }), /its key is not known/u],
    ];
    for (const [bad, reason] of refused) {
      const error = await verify(bad).then(
        () => new Error('taken'),
        (problem: unknown) => problem,
      );
      const { message } = error instanceof Error ? error : new Error('?');
      expect(message).toMatch(reason);
      if (bad.length > 20) expect(message).not.toContain(bad.slice(0, 20));
    }
  });

  it('ends when the clock says so, give or take 30 s', async () => {
    const text = await token();
    await time.advance(3_600_000 + 29_000);
    expect(await verify(text)).toEqual(web1);
    await time.advance(2_000);
    await expect(verify(text)).rejects.toThrow(/"exp"/u);
  });
});

describe('keys', () => {
  it('are read again as they rotate: from a file, by rename', async () => {
    const path = join(dir, 'keys.json');
    writeFileSync(path, await jwks([one.publicKey, 'one']));
    const verify = verifier({ kind: 'file', path });
    expect(await verify(await token())).toEqual(web1);
    const rotated = { sign: { key: two.privateKey, alg: 'ES256' }, kid: 'two' };
    writeFileSync(`${path}.new`, await jwks([two.publicKey, 'two']));
    renameSync(`${path}.new`, path);
    await expect(verify(await token(rotated))).rejects.toThrow(/its key is not known/u);
    await time.advance(10_001);
    expect(await verify(await token(rotated))).toEqual(web1);
    await expect(verify(await token())).rejects.toThrow(/its key is not known/u);
    // What cannot be read takes nothing away.
    rmSync(path);
    await time.advance(10_001);
    expect(await verify(await token(rotated))).toEqual(web1);
    expect(logs.join('')).toContain('keys of an issuer of tokens cannot be read now');
  });

  it('of PEM have no id: each is tried, whatever the token calls its own', async () => {
    const path = join(dir, 'keys.pem');
    const pems = [two, one].map(({ publicKey }) =>
      publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    );
    writeFileSync(path, pems.join('\n'));
    const verify = verifier({ kind: 'file', path });
    expect(await verify(await token())).toEqual(web1);
    const other = { sign: { key: two.privateKey, alg: 'ES256' }, kid: 'x' };
    expect(await verify(await token(other))).toEqual(web1);
    const { certificate } = makeAuthority('issuer');
    expect(parseKeys(certificate)).toHaveLength(1);
  });

  it('are public ones, at least one and not too many', () => {
    const secret = { kty: 'oct', k: randomBytes(64).toString('base64url') };
    const pem = one.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    expect(() => parseKeys(JSON.stringify({ keys: [secret] }))).toThrow(/no public key/u);
    expect(() => parseKeys(pem)).toThrow(/private key/u);
    expect(() => parseKeys('{}')).toThrow(/neither/u);
    expect(() => parseKeys('{')).toThrow();
    const many = Array.from({ length: 65 }, () => two.publicKey.export({ format: 'jwk' }));
    expect(() => parseKeys(JSON.stringify({ keys: many }))).toThrow(/over 64/u);
  });

  it('at a URL are fetched once for all who wait, seldom, and no more than 256 KiB of them', async () => {
    let body = await jwks([one.publicKey, 'one']);
    let fetched = 0;
    const server: Server = createServer((_request, response) => {
      fetched++;
      response.end(body);
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const bound = server.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    const place: KeyPlace = { kind: 'url', url: `http://127.0.0.1:${port}/keys` };
    const keys = new KeySet({ place, clock: time, logger: loggerInto(logs) });
    await Promise.all(Array.from({ length: 5 }, () => keys.candidates('one')));
    expect(await keys.candidates('two')).toEqual([]);
    expect(fetched).toBe(1);
    body = await jwks([one.publicKey, 'one'], [two.publicKey, 'two']);
    await time.advance(10_001);
    expect(await keys.candidates('two')).toHaveLength(1);
    expect(await keys.candidates('one')).toHaveLength(1);
    expect(fetched).toBe(2);
    body = `${' '.repeat(300_000)}{}`;
    await time.advance(10_001);
    expect(await keys.candidates('three')).toEqual([]);
    expect(fetched).toBe(3);
    expect(await keys.candidates('two')).toHaveLength(1);
    expect(logs.join('')).toContain('over 262144 bytes');
    server.close();
  });
});

describe("istiod's JWT_RULE", () => {
  it('is read as istiod reads it, and what is wrong with it is said', () => {
    const url = 'https://example.com/keys';
    const ca = ['istio-ca'];
    const read = (rule: object): unknown => parseJwtRule(JSON.stringify(rule), ca);
    const keys = { kind: 'url', url };
    expect(read({ issuer, jwksUri: url })).toEqual({ issuer, audiences: ca, keys });
    expect(read({ issuer, jwks_uri: url, audiences: ['a'] })).toMatchObject({ audiences: ['a'] });
    const text = '{"keys":[]}';
    expect(read({ issuer, jwks: text })).toMatchObject({ keys: { kind: 'text', text } });
    expect(() => parseJwtRule('[]', ca)).toThrow(/not a JSON object/u);
    expect(() => parseJwtRule('{', ca)).toThrow(/not a JSON object/u);
    expect(() => read({ jwksUri: url })).toThrow(/issuer is missing/u);
    expect(() => read({ issuer })).toThrow(/one of jwksUri and jwks/u);
    expect(() => read({ issuer, jwksUri: 'http://example.com' })).toThrow(/https/u);
    expect(() => read({ issuer, jwks: text, audiences: [] })).toThrow(/audiences/u);
    expect(() => read({ issuer: 7 })).toThrow(/issuer is not a text/u);
  });
});
