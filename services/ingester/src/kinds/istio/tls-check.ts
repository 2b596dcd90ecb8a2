/** TLS of servers (Gateway, Sidecar ingress) and of clients (DestinationRule). */
import { ClientTLSSettings_TLSmode } from '@watershed/proto/istio/networking/v1alpha3/destination_rule.ts';
import type { ClientTLSSettings } from '@watershed/proto/istio/networking/v1alpha3/destination_rule.ts';
import {
  ServerTLSSettings_TLSProtocol,
  ServerTLSSettings_TLSmode,
} from '@watershed/proto/istio/networking/v1alpha3/gateway.ts';
import type { ServerTLSSettings } from '@watershed/proto/istio/networking/v1alpha3/gateway.ts';
import type { At } from '../../decode.ts';
import { credentialProblem } from './credentials.ts';

/** What BoringSSL has, PSK apart: `bssl ciphers -openssl-name ALL`. */
const cipherSuites = new Set([
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-SHA',
  'ECDHE-RSA-AES128-SHA',
  'ECDHE-ECDSA-AES256-SHA',
  'ECDHE-RSA-AES256-SHA',
  'AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-SHA',
  'AES256-SHA',
  'DES-CBC3-SHA',
]);

/** Suites, groups of suites and BoringSSL's operators (`-ALL`, `[A|B]`). */
export function isCipherSuite(suite: string): boolean {
  return suite === 'ALL' || /^[^0-9A-Za-z]/u.test(suite) || cipherSuites.has(suite);
}

type Mode = ServerTLSSettings_TLSmode;
const modes = ServerTLSSettings_TLSmode;

/** Modes in which the server shows a certificate that the user gives. */
export function isTerminating(mode: Mode): boolean {
  return mode === modes.SIMPLE || isMutual(mode);
}

function isMutual(mode: Mode): boolean {
  return mode === modes.MUTUAL || mode === modes.OPTIONAL_MUTUAL;
}

/** The rules of istiod's validateTLSOptions. */
export function checkServerTls(tls: ServerTLSSettings | undefined, at: At): void {
  if (tls === undefined) return;
  checkCiphers(tls, at);
  refuseWeaker(tls, at);
  if (tls.mode === modes.ISTIO_MUTUAL) {
    for (const field of certificateFields(tls)) {
      at.field(field).error(undefined, 'must not be set in mode ISTIO_MUTUAL: the mesh gives it');
    }
    return;
  }
  if (!isTerminating(tls.mode)) {
    for (const field of certificateFields(tls)) {
      at.field(field).warn(undefined, 'is not used where TLS passes through');
    }
    return;
  }
  checkSource(tls, at);
}

/** Exactly one place that the certificate comes from, and it is whole. */
function checkSource(tls: ServerTLSSettings, at: At): void {
  const sources = [
    tls.serverCertificate !== '' && tls.privateKey !== '' ? 'serverCertificate' : '',
    tls.credentialName === '' ? '' : 'credentialName',
    tls.credentialNames.length === 0 ? '' : 'credentialNames',
    tls.tlsCertificates.length === 0 ? '' : 'tlsCertificates',
  ].filter((field) => field !== '');
  if (sources.length > 1) {
    at.error(undefined, `must have one source of certificates, not ${sources.join(' and ')}`);
  }
  if (tls.tlsCertificates.length > 0) {
    at.field('tlsCertificates').error(
      tls.tlsCertificates,
      'is not supported; use serverCertificate and privateKey, or credentialNames',
    );
    return;
  }
  checkCredentialNames(tls, at);
  if (tls.credentialName !== '' || tls.credentialNames.length > 0) {
    for (const field of ['serverCertificate', 'privateKey'] as const) {
      if (tls[field] !== '') at.field(field).warn(tls[field], 'is not used beside a credential');
    }
    return;
  }
  if (isMutual(tls.mode) && tls.caCertificates === '') {
    at.field('caCertificates').error('', 'is required to verify clients, or a credentialName');
  }
  for (const field of ['serverCertificate', 'privateKey'] as const) {
    if (tls[field] === '') at.field(field).error('', 'is required, or a credentialName');
  }
}

function checkCredentialNames(tls: ServerTLSSettings, at: At): void {
  if (tls.credentialName !== '') checkCredential(tls.credentialName, at.field('credentialName'));
  for (const [index, name] of tls.credentialNames.entries()) {
    checkCredential(name, at.field('credentialNames').item(index));
  }
  if (tls.caCertCredentialName !== '') {
    checkCredential(tls.caCertCredentialName, at.field('caCertCredentialName'));
  }
}

function checkCredential(name: string, at: At): void {
  const problem = credentialProblem(name);
  if (problem !== undefined) at.error(name, problem);
}

function certificateFields(tls: ServerTLSSettings): string[] {
  const fields = {
    serverCertificate: tls.serverCertificate !== '',
    privateKey: tls.privateKey !== '',
    caCertificates: tls.caCertificates !== '',
    tlsCertificates: tls.tlsCertificates.length > 0,
    credentialName: tls.credentialName !== '',
    credentialNames: tls.credentialNames.length > 0,
  };
  return Object.entries(fields)
    .filter(([, set]) => set)
    .map(([field]) => field);
}

function checkCiphers(tls: ServerTLSSettings, at: At): void {
  const { minProtocolVersion: min, maxProtocolVersion: max } = tls;
  if (min !== 0 && max !== 0 && min > max) {
    at.field('minProtocolVersion').error(min, 'must not be above maxProtocolVersion');
  }
  const old =
    min === ServerTLSSettings_TLSProtocol.TLSV1_0 || min === ServerTLSSettings_TLSProtocol.TLSV1_1;
  if (old && tls.cipherSuites.length === 0) {
    at.field('minProtocolVersion').warn(
      min,
      'needs cipherSuites: the default ones are for TLS 1.2',
    );
  }
  const seen = new Set<string>();
  for (const [index, suite] of tls.cipherSuites.entries()) {
    const item = at.field('cipherSuites').item(index);
    if (!isCipherSuite(suite)) item.warn(suite, 'is no cipher suite of Envoy and is left out');
    if (seen.has(suite)) item.warn(suite, 'is listed twice');
    seen.add(suite);
  }
}

/** What, left out, would let in whom the user keeps out. */
function refuseWeaker(tls: ServerTLSSettings, at: At): void {
  if (tls.verifyCertificateSpki.length > 0) {
    at.field('verifyCertificateSpki').error(
      tls.verifyCertificateSpki,
      'is not supported; use verifyCertificateHash or subjectAltNames',
    );
  }
  if (tls.caCrl !== '') {
    at.field('caCrl').error(
      tls.caCrl,
      'is not supported; put ca.crl in the secret of a credential',
    );
  }
}

/** The rules of istiod's ValidateTLS. */
export function checkClientTls(tls: ClientTLSSettings | undefined, at: At): void {
  if (tls === undefined) return;
  const simple = tls.mode === ClientTLSSettings_TLSmode.SIMPLE;
  const mutual = tls.mode === ClientTLSSettings_TLSmode.MUTUAL;
  if (tls.caCrl !== '') at.field('caCrl').error(tls.caCrl, 'is not supported');
  if (tls.insecureSkipVerify === true) {
    refuse(tls, at, 'insecureSkipVerify', [
      ...(simple || mutual ? (['caCertificates', 'subjectAltNames'] as const) : []),
      ...(simple ? (['credentialName'] as const) : []),
    ]);
  }
  if ((simple || mutual) && tls.credentialName !== '') {
    checkCredential(tls.credentialName, at.field('credentialName'));
    refuse(tls, at, 'credentialName', ['clientCertificate', 'caCertificates', 'privateKey']);
    return;
  }
  if (!mutual) return;
  for (const field of ['clientCertificate', 'privateKey'] as const) {
    if (tls[field] === '') at.field(field).error('', 'is required in mode MUTUAL');
  }
}

function refuse(
  tls: ClientTLSSettings,
  at: At,
  beside: string,
  fields: readonly (keyof ClientTLSSettings)[],
): void {
  for (const field of fields) {
    const value = tls[field];
    const set = Array.isArray(value) ? value.length > 0 : value !== '';
    if (set) at.field(field).error(value, `must not be set beside ${beside}`);
  }
}
