import { randomBytes } from 'node:crypto';
import { digestOf } from '@watershed/blob/digest.ts';
import { Event, SecretMaterial } from '@watershed/model/gen/model.ts';
import { Secret } from '@watershed/proto/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { createSealing } from '@watershed/runtime/sealing.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { createMaterialise } from '../src/secrets.ts';
import { hashName } from '../src/view/trie.ts';
import type { Entry } from '../src/view/type-view.ts';
import { CDS, LDS, SDS, World } from './session/support.ts';
import { DeltaClient } from './support/client.ts';
import { scopeOfNode } from './support/scope.ts';
import { loggerInto, run, type Running } from './support/world.ts';

const sealing = createSealing([randomBytes(32)]);
const material = {
  certificateChain: Buffer.from('-----BEGIN CERTIFICATE-----\nchain'),
  privateKey: Buffer.from('-----BEGIN PRIVATE KEY-----\nTHE-KEY'),
  caCertificates: Buffer.from('-----BEGIN CERTIFICATE-----\nroots'),
  crl: new Uint8Array(0),
  ocspStaple: Buffer.from('staple'),
};

/** As the translator passes it on: the ingester's event, sealed. */
function sealed(by = sealing): Uint8Array {
  const { sealed: bytes, keyId } = by.seal(SecretMaterial.encode(material).finish());
  const value = { sealed: bytes, keyId, hasCertificate: true, hasCa: true };
  return Event.encode({ object: { $case: 'secret', value } }).finish();
}

function entryOf(name: string, bytes: Uint8Array): Entry {
  return {
    typeUrl: SDS,
    name,
    hash: hashName(name),
    version: '1',
    fragments: [bytes],
    size: bytes.length,
    refs: [],
  };
}

let running: Running | undefined;
const open: { close(): void }[] = [];

afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await running?.stop();
  running = undefined;
});

const inline = (bytes: Uint8Array): object => ({
  specifier: { $case: 'inlineBytes', value: new Uint8Array(bytes) },
});

it('a sealed secret is opened into what Envoy takes', () => {
  const materialise = createMaterialise(sealing, loggerInto([]));
  const [bytes] = materialise(entryOf('kubernetes://cert', sealed())) ?? [];
  expect(Secret.decode(bytes!)).toMatchObject({
    name: 'kubernetes://cert',
    type: {
      $case: 'tlsCertificate',
      value: {
        certificateChain: inline(material.certificateChain),
        privateKey: inline(material.privateKey),
        ocspStaple: inline(material.ocspStaple),
      },
    },
  });
});

it('the roots of a secret go by its name with -cacert, and without its key', () => {
  const materialise = createMaterialise(sealing, loggerInto([]));
  const [bytes] = materialise(entryOf('kubernetes://cert-cacert', sealed())) ?? [];
  expect(Secret.decode(bytes!)).toMatchObject({
    type: { $case: 'validationContext', value: { trustedCa: inline(material.caCertificates) } },
  });
  expect(Buffer.from(bytes!).includes('THE-KEY')).toBe(false);
});

it('a secret that cannot be opened is not sent, and the log says so without its bytes', () => {
  const lines: string[] = [];
  const logger = loggerInto(lines);
  const foreign = createSealing([randomBytes(32)]);
  expect(createMaterialise(sealing, logger)(entryOf('a', sealed(foreign)))).toBeUndefined();
  expect(createMaterialise(undefined, logger)(entryOf('b', sealed()))).toBeUndefined();
  expect(createMaterialise(sealing, logger)(entryOf('c', Buffer.from('junk')))).toBeUndefined();
  expect(lines).toHaveLength(3);
  expect(lines.join('')).toContain('a secret cannot be opened');
  expect(lines.join('')).not.toMatch(/THE-KEY|junk/u);
});

it('what is no secret is passed on as it is', () => {
  const entry = { ...entryOf('c', Buffer.from('bytes')), typeUrl: 'other' };
  expect(createMaterialise(sealing, loggerInto([]))(entry)).toBe(entry.fragments);
});

it('a stream whose identity was not verified is told that there is no such secret', () => {
  const world = new World();
  world.cut({ [SDS]: { 'kubernetes://cert': '1' } });
  const [seen] = world.delta({ mayHaveSecrets: false }).send(SDS, { sub: ['kubernetes://cert'] });
  expect([seen?.names, seen?.removed]).toEqual([[], ['kubernetes://cert']]);
  expect(world.sotw({ mayHaveSecrets: false }).send(SDS, ['kubernetes://cert'])).toEqual([]);
  expect(world.delta({ mayHaveSecrets: false }).send(SDS)[0]?.names).toEqual([]);
  const [own] = world.delta().send(SDS, { sub: ['kubernetes://cert'] });
  expect(own?.names).toEqual(['kubernetes://cert']);
});

describe('a secret that a proxy may no longer have', () => {
  const name = 'kubernetes://certs/cert';

  it('leaves a live delta stream in one push, before anything else of that change', () => {
    const world = new World();
    world.cut({ [CDS]: { a: '1', b: '1' }, [LDS]: { l: '1' }, [SDS]: { [name]: '1' } });
    const stream = world.delta();
    for (const seen of [
      ...stream.send(CDS),
      ...stream.send(LDS),
      ...stream.send(SDS, { sub: [name] }),
    ]) {
      stream.ack(seen);
    }
    world.cut({ [CDS]: { a: '1' }, [LDS]: { l: '2' } });
    const [first] = stream.follow().take();
    expect([first?.type, first?.removed]).toEqual([SDS, [name]]);
  });

  it('is taken from who has not answered yet, and not sent again', () => {
    const world = new World();
    world.cut({ [SDS]: { [name]: '1', other: '1' } });
    const stream = world.delta();
    const [sent] = stream.send(SDS, { sub: [name] });
    expect(sent?.names).toEqual([name]);
    // Never ACKed: of anything else the next message would wait.
    world.cut({ [SDS]: { other: '1' } });
    const [removal] = stream.follow().take();
    expect([removal?.names, removal?.removed]).toEqual([[], [name]]);
    const again = stream.send(SDS, { unsub: [name] });
    again.push(...stream.send(SDS, { sub: [name] }));
    world.nowMs += 10_000;
    again.push(...stream.take());
    expect(again.flatMap(({ names }) => names)).toEqual([]);
  });

  it('is not sent to a client that comes back and tells the version that it held', () => {
    const world = new World();
    world.cut({ [SDS]: { [name]: '1' } });
    const [before] = world.sotw().send(SDS, [name]);
    expect(before?.names).toEqual([name]);
    world.cut({ [SDS]: {} });
    const back = { versionInfo: before?.version ?? '' };
    expect(
      world
        .sotw()
        .send(SDS, [name], back)
        .flatMap(({ names }) => names),
    ).toEqual([]);
    world.cut({ [SDS]: { [name]: '1' } });
    const stranger = world.sotw({ mayHaveSecrets: false });
    expect(stranger.send(SDS, [name], back).flatMap(({ names }) => names)).toEqual([]);
    const delta = world.delta({ mayHaveSecrets: false });
    const [seen] = delta.send(SDS, { sub: [name], initial: { [name]: '1' } });
    expect([seen?.names, seen?.removed]).toEqual([[], [name]]);
  });
});

it('a response with secrets is shared by those who may have it, with nobody else, and not kept', () => {
  const world = new World();
  world.cut({ [CDS]: { a: '1' }, [SDS]: { s: '1' } });
  const streams = [{}, {}, { mayHaveSecrets: false }].map((options) => world.delta(options));
  for (const stream of streams) stream.ack(stream.send(SDS, { sub: ['s'] })[0]);
  world.encoded = [];
  world.cut({ [CDS]: { a: '1' }, [SDS]: { s: '2' } });
  const [one, two, stranger] = streams.map((stream) => stream.follow().take());
  expect(one?.[0]?.names).toEqual(['s']);
  expect(two?.[0]?.frame).toBe(one?.[0]?.frame);
  expect(stranger).toEqual([]);
  expect(world.encoded).toHaveLength(1);
  const { frames } = world.context;
  expect(frames.bytes).toBe(0);
  world.delta().send(CDS);
  expect(frames.bytes).toBeGreaterThan(0);
});

it('a secret reaches a proxy of this machine, and no log line, no debug page and no blob has its key', async () => {
  const scope = scopeOfNode();
  running = await run({ sealing });
  const bytes = sealed();
  await running.blobs.put([{ digest: digestOf(bytes), bytes }]);
  await running.translator.publishBytes(SDS, 'kubernetes://cert', bytes, {
    [scope.id]: scope.scopeClass,
  });
  const client = new DeltaClient(running.port);
  open.push(client);
  client.request(SDS, { resourceNamesSubscribe: ['kubernetes://cert'] });
  const { resources } = await client.next();
  const secret = Secret.decode(resources[0]?.resource?.value ?? new Uint8Array(0));
  expect(secret.type?.$case).toBe('tlsCertificate');
  const shown = await Promise.all(
    running.pusher.pages.map((page) =>
      Promise.resolve(
        page.handle({ method: 'GET', query: new URLSearchParams('proxyID=web-1.shop'), body: '' }),
      ),
    ),
  );
  expect(JSON.stringify(shown)).toContain('kubernetes://cert');
  const key = Buffer.from('THE-KEY');
  const everything = JSON.stringify(shown) + running.logs.join('\n');
  expect(everything.includes('THE-KEY')).toBe(false);
  expect(everything.includes(key.toString('base64').slice(0, 8))).toBe(false);
  expect(Buffer.from(bytes).includes(key)).toBe(false);
});
