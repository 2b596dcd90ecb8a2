import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';

/*
 * X.509 certificates for tests, made here so that no test needs openssl or a file that expires.
 * ECDSA P-256; RFC 5280 in the few lines that Envoy, Node and grpc ask for.
 */

/** PEM texts. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

export interface Authority extends Certificate {
  readonly issue: (options: CertificateOptions) => Certificate;
}

export interface CertificateOptions {
  readonly commonName: string;
  /** Subject alternative names: DNS names, IPs, or URIs (`spiffe://…`). */
  readonly names: readonly string[];
  /** From when and until when, in days from now. Default yesterday, 30. */
  readonly fromDays?: number;
  readonly untilDays?: number;
}

/** A certificate authority of its own. */
export function makeAuthority(commonName: string): Authority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const self: Subject = { commonName, publicKey: keys.publicKey };
  const issuer: Issuer = { ...self, privateKey: keys.privateKey };
  const certificate = make({ commonName, names: [] }, self, issuer, true);
  return {
    certificate,
    key: pemOf(keys.privateKey),
    issue: (options) => {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const subject: Subject = { commonName: options.commonName, publicKey };
      return { certificate: make(options, subject, issuer, false), key: pemOf(privateKey) };
    },
  };
}

interface Subject {
  readonly commonName: string;
  readonly publicKey: KeyObject;
}

interface Issuer extends Subject {
  readonly privateKey: KeyObject;
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

const dayMs = 86_400_000;

function make(options: CertificateOptions, subject: Subject, issuer: Issuer, ca: boolean): string {
  const fromMs = Date.now() + (options.fromDays ?? -1) * dayMs;
  const untilMs = Date.now() + (options.untilDays ?? 30) * dayMs;
  const algorithm = sequence(oid('1.2.840.10045.4.3.2')); // ecdsa-with-SHA256
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))), // version 3
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    nameOf(issuer.commonName),
    sequence(time(fromMs), time(untilMs)),
    nameOf(subject.commonName),
    subject.publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...extensions(options.names, subject, issuer, ca))),
  );
  const signature = sign('sha256', body, issuer.privateKey);
  const der = sequence(body, algorithm, tagged(0x03, Buffer.from([0]), signature));
  const lines = der.toString('base64').match(/.{1,64}/gu) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function extensions(
  names: readonly string[],
  subject: Subject,
  issuer: Issuer,
  ca: boolean,
): readonly Buffer[] {
  const yes = tagged(0x01, Buffer.from([0xff]));
  // It signs certificates, or handshakes.
  const usage = ca ? Buffer.from([1, 0x06]) : Buffer.from([7, 0x80]);
  const found = [
    extension('2.5.29.19', true, ca ? sequence(yes) : sequence()),
    extension('2.5.29.15', true, tagged(0x03, usage)),
    extension('2.5.29.14', false, tagged(0x04, keyId(subject.publicKey))),
    extension('2.5.29.35', false, sequence(tagged(0x80, keyId(issuer.publicKey)))),
  ];
  if (!ca) {
    const server = oid('1.3.6.1.5.5.7.3.1');
    const client = oid('1.3.6.1.5.5.7.3.2');
    found.push(extension('2.5.29.37', false, sequence(server, client)));
  }
  if (names.length > 0) found.push(extension('2.5.29.17', false, sequence(...names.map(altName))));
  return found;
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  const mark = critical ? [tagged(0x01, Buffer.from([0xff]))] : [];
  return sequence(oid(id), ...mark, tagged(0x04, value));
}

function altName(name: string): Buffer {
  if (name.includes('://')) return tagged(0x86, Buffer.from(name));
  if (isIP(name) === 4) return tagged(0x87, Buffer.from(name.split('.').map(Number)));
  if (name === '::1') return tagged(0x87, Buffer.concat([Buffer.alloc(15), Buffer.from([1])]));
  return tagged(0x82, Buffer.from(name));
}

function keyId(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest();
}

function nameOf(commonName: string): Buffer {
  const value = tagged(0x0c, Buffer.from(commonName));
  return sequence(tagged(0x31, sequence(oid('2.5.4.3'), value)));
}

/** UTCTime, which holds until 2049. */
function time(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replaceAll(/[-:T]/gu, '').slice(2, 14);
  return tagged(0x17, Buffer.from(`${digits}Z`));
}

function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes);
}

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const groups = [part & 0x7f];
    for (let left = part >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tagged(0x06, Buffer.from(bytes));
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(0x30, ...parts);
}

/** Tag, length, content: the whole of DER. */
function tagged(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  if (length < 0x100) return Buffer.concat([Buffer.from([tag, 0x81, length]), content]);
  return Buffer.concat([Buffer.from([tag, 0x82, length >> 8, length & 0xff]), content]);
}
