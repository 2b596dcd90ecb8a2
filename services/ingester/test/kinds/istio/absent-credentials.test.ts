/** Secrets that a Gateway or a DestinationRule names: what is told of those that are not there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RawObject } from '../../../src/kind.ts';
import { Objects } from '../harness.ts';

const fixture = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../../fixtures', name), 'utf8');
const pair = { 'tls.crt': fixture('a.crt'), 'tls.key': fixture('a.key') };
const roots = { 'ca.crt': fixture('b.crt') };

function secret(name: string, stringData: object, namespace = 'edge'): RawObject {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData };
}

const apiVersion = 'networking.istio.io/v1';

function gateway(tls: object): RawObject {
  const port = { number: 443, name: 'https', protocol: 'HTTPS' };
  const servers = [{ port, hosts: ['a.example.com'], tls }];
  const metadata = { name: 'gw', namespace: 'shop' };
  return { apiVersion, kind: 'Gateway', metadata, spec: { selector: { app: 'gw' }, servers } };
}

function rule(tls: object, rest: object = {}): RawObject {
  const spec = { host: '*.example.com', trafficPolicy: { tls }, ...rest };
  const metadata = { name: 'db', namespace: 'shop' };
  return { apiVersion, kind: 'DestinationRule', metadata, spec };
}

/** Without what is common to all: whose they are, and that they are warnings; nor errors. */
function told(object: RawObject, ...secrets: readonly RawObject[]): readonly string[] {
  const objects = new Objects();
  for (const one of [...secrets, object]) objects.put(one);
  return objects
    .problems()
    .filter((line) => line.includes(': warning: '))
    .map((line) => line.replace(/^.*: warning: spec\./u, ''));
}

const nowhere = 'no namespace has such a Secret; proxies look in their own';
const refused = 'Secret edge/cert was refused (see its own diagnostics)';
const simple = gateway({ mode: 'SIMPLE', credentialName: 'cert' });
const mutual = gateway({ mode: 'MUTUAL', credentialName: 'cert' });

describe('a Gateway', () => {
  it.each([
    ['that no namespace has', [], [`servers[0].tls.credentialName: ${nowhere}: "cert"`]],
    ['that some namespace has', [secret('cert', pair)], []],
    [
      'that was refused for its key',
      [secret('cert', { ...pair, 'tls.key': fixture('b.key') })],
      [`servers[0].tls.credentialName: ${refused}: "cert"`],
    ],
    [
      'that holds no certificate',
      [secret('cert', { other: 'x' })],
      ['servers[0].tls.credentialName: Secret edge/cert has no certificate with its key: "cert"'],
    ],
  ])('names a Secret %s', (_, secrets, expected) => {
    expect(told(simple, ...secrets)).toEqual(expected);
  });

  it('that verifies clients needs roots too: of the Secret, or of one beside it', () => {
    const reason = 'Secret edge/cert has no CA certificate';
    expect(told(mutual)).toEqual([`servers[0].tls.credentialName: ${nowhere}: "cert"`]);
    expect(told(mutual, secret('cert', pair))).toEqual([
      `servers[0].tls.credentialName: ${reason}: "cert"`,
    ]);
    expect(told(mutual, secret('cert', { ...pair, ...roots }))).toEqual([]);
    expect(told(mutual, secret('cert', pair), secret('cert-cacert', roots))).toEqual([]);
  });

  it('is told of each of several names, and of the name of the roots', () => {
    const names = { credentialNames: ['cert', 'other'], caCertCredentialName: 'clients' };
    expect(told(gateway({ mode: 'MUTUAL', ...names }), secret('cert', pair))).toEqual([
      `servers[0].tls.credentialNames[1]: ${nowhere}: "other"`,
      `servers[0].tls.caCertCredentialName: ${nowhere}: "clients"`,
    ]);
  });

  it('is told anew when a Secret comes, changes or goes', () => {
    const objects = new Objects();
    objects.put(simple);
    expect(objects.problems()).toHaveLength(1);
    objects.put(secret('cert', pair));
    expect(objects.problems()).toEqual([]);
    objects.put(secret('cert', {}));
    expect(objects.problems()).toHaveLength(1);
    objects.put(secret('cert', pair));
    objects.remove(secret('cert', pair));
    expect(objects.problems()).toHaveLength(1);
  });
});

describe('a DestinationRule', () => {
  const field = 'trafficPolicy.tls.credentialName';

  it('needs roots, and for MUTUAL a certificate', () => {
    const originates = rule({ mode: 'SIMPLE', credentialName: 'client' });
    expect(told(originates)).toEqual([`${field}: ${nowhere}: "client"`]);
    expect(told(originates, secret('client', roots))).toEqual([]);
    const shows = rule({ mode: 'MUTUAL', credentialName: 'client' });
    expect(told(shows, secret('client', roots))).toEqual([
      `${field}: Secret edge/client has no certificate with its key: "client"`,
    ]);
    expect(told(shows, secret('client', { ...pair, ...roots }))).toEqual([]);
  });

  it('that asks for no verification needs no roots', () => {
    const tls = { mode: 'MUTUAL', credentialName: 'client', insecureSkipVerify: true };
    expect(told(rule(tls))).toHaveLength(1);
    expect(told(rule(tls), secret('client', pair))).toEqual([]);
  });

  it('for some workloads is for those of its namespace, whose Secret counts', () => {
    const tls = { mode: 'SIMPLE', credentialName: 'client' };
    const selecting = rule(tls, { workloadSelector: { matchLabels: { app: 'web' } } });
    expect(told(selecting, secret('client', roots))).toEqual([
      `${field}: namespace shop has no such Secret: "client"`,
    ]);
    expect(told(selecting, secret('client', roots, 'shop'))).toEqual([]);
  });

  it('is told of in its subsets and ports', () => {
    const tls = { mode: 'SIMPLE', credentialName: 'client' };
    const portLevelSettings = [{ port: { number: 80 }, tls }];
    const subsets = [{ name: 'v1', trafficPolicy: { portLevelSettings } }];
    expect(told(rule({ mode: 'DISABLE' }, { subsets }))).toEqual([
      `subsets[0].trafficPolicy.portLevelSettings[0].tls.credentialName: ${nowhere}: "client"`,
    ]);
  });
});
