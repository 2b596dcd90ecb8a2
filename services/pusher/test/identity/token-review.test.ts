import { createServer, type Server } from 'node:https';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeAuthority } from '../../../../test/components/certificates.ts';
import { createPostReview } from '../../src/identity/api-server.ts';
import { createTokenReview } from '../../src/identity/token-review.ts';
import { createVerifyToken } from '../../src/identity/tokens.ts';
import { loggerInto } from '../support/world.ts';

interface Review {
  readonly spec: { readonly token: string; readonly audiences: readonly string[] };
}

const time = new VirtualTime(1_800_000_000_000);
const web = { namespace: 'shop', serviceAccount: 'web', pod: 'web-1' };
const taken = {
  status: {
    authenticated: true,
    audiences: ['istio-ca'],
    user: {
      username: 'system:serviceaccount:shop:web',
      extra: { 'authentication.kubernetes.io/pod-name': ['web-1'] },
    },
  },
};

/** Nobody here checks a signature. */
function token(claims: Readonly<Record<string, unknown>> = {}): string {
  const exp = Math.floor(time.now() / 1_000) + 3_600;
  const part = (of: object): string => Buffer.from(JSON.stringify(of)).toString('base64url');
  return `${part({ alg: 'RS256' })}.${part({ iss: 'cluster', exp, ...claims })}.c2ln`;
}

/** An API server's end, as a function; what it was asked is kept. */
function reviewer(
  answer: (review: Review) => unknown,
  bounds: { readonly maxKept?: number; readonly maxAsking?: number } = {},
) {
  const asked: Review[] = [];
  const logs: string[] = [];
  const verify = createTokenReview({
    post: async (review) => {
      asked.push(review as Review);
      return answer(review as Review);
    },
    audiences: ['istio-ca', 'other'],
    clock: time,
    logger: loggerInto(logs),
    ...bounds,
  });
  return { asked, logs, verify };
}

describe('a token that the API server is asked of', () => {
  it('is of the account and the Pod that it says', async () => {
    const { asked, verify } = reviewer(() => taken);
    const text = token();
    expect(await verify(text)).toEqual(web);
    expect(asked).toEqual([
      {
        ...{ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview' },
        spec: { token: text, audiences: ['istio-ca', 'other'] },
      },
    ]);
  });

  it.each([
    [
      'is not taken',
      { status: { authenticated: false, error: 'secret text' } },
      'does not take it',
    ],
    ['has no status', {}, 'does not take it'],
    ['is no object', 'ok', 'does not take it'],
    ['is for another audience', { status: { ...taken.status, audiences: ['x'] } }, 'audience'],
    ['is for no audience', { status: { ...taken.status, audiences: undefined } }, 'audience'],
    [
      'is a user',
      { status: { ...taken.status, user: { username: 'system:node:a' } } },
      'no service account',
    ],
  ])('is refused where it %s', async (_, answer, reason) => {
    const { verify } = reviewer(() => answer);
    await expect(verify(token())).rejects.toThrow(reason);
    await expect(verify(token())).rejects.not.toThrow('secret text');
  });

  it('is not asked of where it is no JWT, has expired or never does', async () => {
    const { asked, verify } = reviewer(() => taken);
    await expect(verify('a.b')).rejects.toThrow('not a JWT');
    await expect(verify(token({ exp: 1 }))).rejects.toThrow('expired');
    await expect(verify(token({ exp: undefined }))).rejects.toThrow('does not expire');
    expect(asked).toEqual([]);
  });

  it('is asked of once by all that come with it, and again after 30 s, or 5 s if it was refused', async () => {
    let answer: unknown = taken;
    const { asked, verify } = reviewer(() => answer);
    const text = token();
    await Promise.all(Array.from({ length: 100 }, () => verify(text)));
    expect(asked).toHaveLength(1);
    answer = { status: { authenticated: false } };
    await time.advance(29_999);
    expect(await verify(text)).toEqual(web);
    await time.advance(1);
    await expect(verify(text)).rejects.toThrow('does not take it');
    answer = taken;
    await time.advance(4_999);
    await expect(verify(text)).rejects.toThrow('does not take it');
    await time.advance(1);
    expect(await verify(text)).toEqual(web);
    expect(asked).toHaveLength(3);
  });

  it('is not taken longer than it lasts', async () => {
    const { asked, verify } = reviewer(() => taken);
    const text = token({ exp: time.now() / 1_000 + 5 });
    await verify(text);
    await time.advance(36_000);
    await expect(verify(text)).rejects.toThrow('expired');
    expect(asked).toHaveLength(1);
  });

  it('is neither taken nor remembered while the server cannot be asked', async () => {
    let up = false;
    const { logs, verify } = reviewer(() => {
      if (!up) throw new Error('refused');
      return taken;
    });
    const text = token();
    await expect(verify(text)).rejects.toThrow('cannot be asked');
    expect(logs.join('')).not.toContain(text);
    up = true;
    expect(await verify(text)).toEqual(web);
  });

  it('is one of so many that are asked of at once, that wait and that are kept', async () => {
    let running = 0;
    let most = 0;
    const release: (() => void)[] = [];
    const { asked, verify } = reviewer(
      async () => {
        most = Math.max(most, ++running);
        await new Promise<void>((resolve) => release.push(resolve));
        running--;
        return taken;
      },
      { maxAsking: 2, maxKept: 3 },
    );
    const texts = Array.from({ length: 6 }, (_, i) => token({ jti: String(i) }));
    const all = texts.map((text) =>
      verify(text).then(
        () => 'taken',
        (error: unknown) => String(error),
      ),
    );
    expect(await all[5]).toContain('too many tokens wait');
    for (let i = 0; i < 5; i++) {
      while (release.length === 0) await Promise.resolve();
      release.shift()?.();
    }
    expect(await Promise.all(all.slice(0, 5))).toEqual(Array(5).fill('taken'));
    expect(most).toBe(2);
    // The oldest is forgotten, the newest is not.
    await verify(texts[4] ?? '');
    expect(asked).toHaveLength(5);
    const again = verify(texts[0] ?? '');
    while (release.length === 0) await Promise.resolve();
    release.shift()?.();
    expect(await again).toEqual(web);
    expect(asked).toHaveLength(6);
  });

  it('is of an issuer whose keys are not known', async () => {
    const { asked, verify } = reviewer(() => taken);
    const both = createVerifyToken({
      rules: [{ issuer: 'known', audiences: ['istio-ca'], keys: { kind: 'text', text: '{}' } }],
      review: verify,
      ...{ trustDomains: ['cluster.local'], clock: time, logger: loggerInto([]) },
    });
    expect(await both(token())).toEqual(web);
    await expect(both(token({ iss: 'known' }))).rejects.toThrow('key is not known');
    expect(asked).toHaveLength(1);
  });
});

describe('the API server', () => {
  const authority = makeAuthority('cluster');
  const own = authority.issue({ commonName: 'api', names: ['localhost', '127.0.0.1'] });
  const dir = mkdtempSync(join(tmpdir(), 'api-server-'));
  const [caFile, tokenFile] = [join(dir, 'ca.crt'), join(dir, 'token')];
  const seen: string[] = [];
  let server: Server;
  let url: string;
  let answer: { readonly status: number; readonly text: string };

  beforeEach(async () => {
    writeFileSync(caFile, authority.certificate);
    writeFileSync(tokenFile, 'mine\n');
    seen.length = 0;
    answer = { status: 201, text: '{"status":{}}' };
    server = createServer({ key: own.key, cert: own.certificate }, (request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (part: string) => {
        body += part;
      });
      request.once('end', () => {
        const { authorization = '' } = request.headers;
        seen.push(`${request.method ?? ''} ${request.url ?? ''} ${authorization} ${body}`);
        response.writeHead(answer.status).end(answer.text);
      });
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const address = server.address();
    url = `https://127.0.0.1:${typeof address === 'object' ? (address?.port ?? 0) : 0}`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  const post = (): Promise<unknown> => createPostReview({ url, caFile, tokenFile })({ a: 1 });

  it("is asked with the pusher's own token, read anew for each question", async () => {
    expect(await post()).toEqual({ status: {} });
    writeFileSync(tokenFile, 'renewed');
    await post();
    const path = '/apis/authentication.k8s.io/v1/tokenreviews';
    expect(seen).toEqual([
      `POST ${path} Bearer mine {"a":1}`,
      `POST ${path} Bearer renewed {"a":1}`,
    ]);
  });

  it('is believed neither under another certificate, nor with a refusal, nor at any length', async () => {
    answer = { status: 403, text: '{"status":{"authenticated":true}}' };
    await expect(post()).rejects.toThrow('it answers 403');
    answer = { status: 201, text: 'x'.repeat(300_000) };
    await expect(post()).rejects.toThrow('a long answer');
    answer = { status: 201, text: 'no JSON' };
    await expect(post()).rejects.toThrow('JSON');
    writeFileSync(caFile, makeAuthority('others').certificate);
    seen.length = 0;
    await expect(post()).rejects.toThrow('certificate');
    expect(seen).toEqual([]);
  });
});
