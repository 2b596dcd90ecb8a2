/**
 * Certificates and keys, checked before a proxy sees them: what Envoy (BoringSSL) would refuse is
 * refused here, with a reason, and the last good pair stays. Nothing of a key is ever in a reason.
 *
 * Whether a certificate has expired is not asked: it depends on the clock, so the same object would
 * decode differently tomorrow.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';

export interface PemProblem {
  readonly of: 'certificate' | 'key';
  readonly reason: string;
}

const minRsaBits = 2_048;
const curves = new Set(['prime256v1', 'secp384r1', 'secp521r1']);
const maxCertificates = 1_000;

/** A certificate (its chain may follow) and its key, both PEM. Empty: they belong together. */
export function checkPair(certificate: Uint8Array, key: Uint8Array): readonly PemProblem[] {
  const chain = parseCertificates(certificate);
  const parsedKey = parseKey(key);
  const problems: PemProblem[] = [];
  if ('reason' in chain) problems.push({ of: 'certificate', reason: chain.reason });
  if ('reason' in parsedKey) problems.push({ of: 'key', reason: parsedKey.reason });
  if ('reason' in chain || 'reason' in parsedKey) return problems;
  const [leaf] = chain.certificates;
  if (leaf === undefined) return [{ of: 'certificate', reason: 'has no certificate' }];
  if (!leaf.checkPrivateKey(parsedKey.key)) {
    problems.push({ of: 'key', reason: 'does not belong to the certificate' });
  }
  const weak = weakness(parsedKey.key);
  if (weak !== undefined) problems.push({ of: 'key', reason: weak });
  return problems;
}

/** One or more CA certificates, PEM. Empty: all can be read. */
export function checkCa(bundle: Uint8Array): readonly PemProblem[] {
  const parsed = parseCertificates(bundle);
  return 'reason' in parsed ? [{ of: 'certificate', reason: parsed.reason }] : [];
}

type Certificates =
  | { readonly certificates: readonly X509Certificate[] }
  | { readonly reason: string };

function parseCertificates(pem: Uint8Array): Certificates {
  const blocks = Buffer.from(pem)
    .toString('latin1')
    .match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/gu);
  if (blocks === null) return { reason: 'has no certificate in PEM' };
  if (blocks.length > maxCertificates) {
    return { reason: `has ${blocks.length} certificates, more than ${maxCertificates}` };
  }
  const certificates: X509Certificate[] = [];
  for (const [index, block] of blocks.entries()) {
    try {
      certificates.push(new X509Certificate(block));
    } catch {
      return { reason: `certificate ${index + 1} cannot be read` };
    }
  }
  return { certificates };
}

function parseKey(pem: Uint8Array): { readonly key: KeyObject } | { readonly reason: string } {
  const pemText = Buffer.from(pem).toString('latin1');
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/u.test(pemText)) {
    return { reason: 'is encrypted; proxies have no passphrase for it' };
  }
  try {
    return { key: createPrivateKey(pemText) };
  } catch {
    // The library's own message may quote its input.
    return { reason: 'is no private key in PEM' };
  }
}

function weakness(key: KeyObject): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'rsa') {
    const bits = details?.modulusLength ?? 0;
    return bits < minRsaBits
      ? `is an RSA key of ${bits} bits; Envoy takes none below ${minRsaBits}`
      : undefined;
  }
  if (type === 'ec') {
    const curve = details?.namedCurve ?? '';
    return curves.has(curve) ? undefined : `is on the curve ${curve}, which Envoy does not take`;
  }
  return `is of type ${type ?? 'unknown'}; Envoy takes RSA and ECDSA`;
}
