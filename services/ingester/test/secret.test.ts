import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Event, SecretMaterial } from '@watershed/model/gen/model.ts';
import { expect, test } from 'vitest';
import { Core, sealing } from './support.ts';

const file = (name: string): string =>
  readFileSync(join(import.meta.dirname, 'fixtures', name), 'utf8');
const base64 = (text: string): string => Buffer.from(text).toString('base64');

type Entries = Readonly<Record<string, string>>;

function secret(data: Entries, more: { type?: string; stringData?: Entries } = {}): string {
  const encoded = Object.entries(data).map(([name, text]) => [name, base64(text)] as const);
  return `${JSON.stringify({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'cert', namespace: 'shop' },
    type: more.type ?? 'kubernetes.io/tls',
    data: Object.fromEntries(encoded),
    ...(more.stringData === undefined ? {} : { stringData: more.stringData }),
  })}\n`;
}

const key = 'config one|secret|shop|cert';
const pairA = { 'tls.crt': file('a.crt'), 'tls.key': file('a.key') };
const pairB = { 'tls.crt': file('b.crt'), 'tls.key': file('b.key') };

function opened(core: Core): SecretMaterial | undefined {
  const stored = core.stored().events.find((event) => `${event.topic} ${event.key}` === key);
  if (stored === undefined) return undefined;
  const { object } = Event.decode(stored.value);
  if (object?.$case !== 'secret') return undefined;
  return SecretMaterial.decode(sealing.unseal(object.value.sealed, object.value.keyId));
}

test.each([
  ['an RSA pair of type kubernetes.io/tls', secret(pairA)],
  ['an ECDSA pair', secret(pairB)],
  ['an opaque Secret with the names of kubernetes.io/tls', secret(pairA, { type: 'Opaque' })],
  [
    "an opaque Secret with Istio's own names",
    secret({ cert: file('a.crt'), key: file('a.key') }, { type: 'Opaque' }),
  ],
  ['text as it is', secret({}, { stringData: pairA })],
  ['a chain', secret({ ...pairA, 'tls.crt': file('a.crt') + file('b.crt') })],
])('%s is sealed, and opens again', async (_, text) => {
  const core = await Core.of({ 's.yaml': text });
  expect(core.problems()).toEqual([]);
  expect(core.event(key)).toMatchObject({ secret: { hasCertificate: true } });
  expect(Buffer.from(opened(core)?.privateKey ?? '').toString()).toMatch(/PRIVATE KEY/);
});

test('nothing of a key is on the log or in a diagnostic', async () => {
  const core = await Core.of({ 's.yaml': secret(pairA) });
  await core.write({ 's.yaml': secret({ ...pairA, 'tls.key': file('b.key') }) });
  const body = file('a.key').split('\n')[1] ?? '';
  const encoded = Buffer.from(file('a.key')).toString('base64').slice(40, 80);
  const { events, objects } = core.stored();
  const all = [...events, ...objects].map(({ value }) => Buffer.from(value).toString('latin1'));
  for (const secretText of ['PRIVATE', body, encoded]) {
    expect(all.some((text) => text.includes(secretText))).toBe(false);
  }
  expect(JSON.stringify(core.diagnostics.list())).not.toMatch(/PRIVATE|MII/);
});

test('equal secrets are equal events: writing one again is silent', async () => {
  const core = await Core.of({ 's.yaml': secret(pairA) });
  core.news();
  await core.write({ 's.yaml': secret({}, { stringData: pairA }) });
  expect(core.news()).toEqual([]);
});

test.each([
  ['a CA beside the pair', { ...pairA, 'ca.crt': file('b.crt') }, true, true, 'kubernetes.io/tls'],
  ['a CA alone', { 'ca.crt': file('b.crt') }, false, true, 'Opaque'],
  ["a CA alone under Istio's name", { cacert: file('b.crt') }, false, true, 'Opaque'],
])('%s is told of in the event', async (_, data, hasCertificate, hasCa, type) => {
  const core = await Core.of({ 's.yaml': secret(data, { type }) });
  const material = opened(core);
  expect((material?.certificateChain.length ?? 0) > 0).toBe(hasCertificate);
  expect((material?.caCertificates.length ?? 0) > 0).toBe(hasCa);
  expect(core.event(key)).toMatchObject({ secret: { hasCa: true } });
});

test.each([
  ['of another pair', { ...pairA, 'tls.key': file('b.key') }, 'data["tls.key"]', 'does not belong'],
  ['that is absent', { 'tls.crt': file('a.crt') }, 'data["tls.key"]', 'is required beside'],
  ['that is encrypted', { ...pairB, 'tls.key': file('encrypted.key') }, '', 'is encrypted'],
  ['that is no key', { ...pairA, 'tls.key': 'hello' }, 'data["tls.key"]', 'is no private key'],
  [
    'too short for Envoy',
    { 'tls.crt': file('weak.crt'), 'tls.key': file('weak.key') },
    'data["tls.key"]',
    'RSA key of 1024 bits',
  ],
  [
    'of a type that Envoy does not take',
    { 'tls.crt': file('ed.crt'), 'tls.key': file('ed.key') },
    'data["tls.key"]',
    'is of type ed25519',
  ],
  ['without a certificate', { ...pairA, 'tls.crt': '' }, 'data["tls.crt"]', 'is required'],
  ['with a broken certificate', { ...pairA, 'tls.crt': broken() }, 'data["tls.crt"]', 'cannot be'],
])(
  'a key %s is refused with a reason, and the last good pair stays',
  async (_, data, field, reason) => {
    const core = await Core.of({ 's.yaml': secret(pairA) });
    const before = core.event(key);
    core.news();
    await core.write({ 's.yaml': secret(data) });
    const [line = '', ...others] = core.problems();
    expect(others).toEqual([]);
    expect(line).toContain('error Secret shop/cert: ');
    expect(line).toContain(field);
    expect(line).toContain(reason);
    expect(core.news()).toEqual([]);
    expect(core.event(key)).toEqual(before);
  },
);

function broken(): string {
  const lines = file('a.crt').split('\n');
  return [lines[0], ...lines.slice(3)].join('\n');
}

test('a broken CA is refused', async () => {
  const core = await Core.of({ 's.yaml': secret({ ...pairA, 'ca.crt': 'x' }) });
  expect(core.problems()).toEqual([
    'error Secret shop/cert: data["ca.crt"]: has no certificate in PEM',
  ]);
});

test('data that is no base64 is refused without being shown', async () => {
  const text = secret(pairA).replace(base64(pairA['tls.key']), 'SECRET!');
  const core = await Core.of({ 's.yaml': text });
  expect(core.problems()).toEqual([
    'error Secret shop/cert: data["tls.key"]: is not base64; text as it is belongs into stringData',
  ]);
});

test('Secrets of other types and of other applications give no event', async () => {
  const other = secret({ key: 'an-api-key', password: 'x' }, { type: 'Opaque' });
  const core = await Core.of({ 's.yaml': other });
  expect(core.keys()).toEqual([]);
  await core.write({
    's.yaml': secret({ token: 'x', 'ca.crt': 'y' }, { type: 'helm.sh/release' }),
  });
  expect(core.keys()).toEqual([]);
  expect(core.problems()).toEqual([]);
});

test.each([
  'data: c2VjcmV0',
  'stringData: secret',
  'Data: secret',
  'tls.key: secret',
  'immutable: secret',
])('of what is written in the wrong place nothing is shown: %s', async (line) => {
  const core = await Core.of({
    's.yaml': `apiVersion: v1\nkind: Secret\nmetadata: { name: cert, namespace: shop }\n${line}\n`,
  });
  expect(core.problems()).toHaveLength(1);
  expect(core.problems()[0]).not.toMatch(/secret|c2Vj/u);
});
