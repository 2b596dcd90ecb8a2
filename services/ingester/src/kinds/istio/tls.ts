import {
  ClientTls,
  ClientTlsMode,
  ServerTls,
  ServerTlsMode,
  TlsVersion,
} from '@watershed/model/gen/model.ts';
import { ClientTLSSettings_TLSmode } from '@watershed/proto/istio/networking/v1alpha3/destination_rule.ts';
import type { ClientTLSSettings } from '@watershed/proto/istio/networking/v1alpha3/destination_rule.ts';
import {
  ServerTLSSettings_TLSProtocol,
  ServerTLSSettings_TLSmode,
} from '@watershed/proto/istio/networking/v1alpha3/gateway.ts';
import type { ServerTLSSettings } from '@watershed/proto/istio/networking/v1alpha3/gateway.ts';
import { sortedSet } from '../common/hosts.ts';
import { credentialKey } from './credentials.ts';
import { isCipherSuite, isTerminating } from './tls-check.ts';

const blankServer = ServerTls.create();
const blankClient = ClientTls.create();

const serverModes: Readonly<Record<ServerTLSSettings_TLSmode, ServerTlsMode>> = {
  [ServerTLSSettings_TLSmode.PASSTHROUGH]: ServerTlsMode.SERVER_TLS_MODE_PASSTHROUGH,
  [ServerTLSSettings_TLSmode.SIMPLE]: ServerTlsMode.SERVER_TLS_MODE_SIMPLE,
  [ServerTLSSettings_TLSmode.MUTUAL]: ServerTlsMode.SERVER_TLS_MODE_MUTUAL,
  [ServerTLSSettings_TLSmode.AUTO_PASSTHROUGH]: ServerTlsMode.SERVER_TLS_MODE_AUTO_PASSTHROUGH,
  [ServerTLSSettings_TLSmode.ISTIO_MUTUAL]: ServerTlsMode.SERVER_TLS_MODE_ISTIO_MUTUAL,
  [ServerTLSSettings_TLSmode.OPTIONAL_MUTUAL]: ServerTlsMode.SERVER_TLS_MODE_OPTIONAL_MUTUAL,
  [ServerTLSSettings_TLSmode.UNRECOGNIZED]: ServerTlsMode.UNRECOGNIZED,
};

const versions: Readonly<Record<ServerTLSSettings_TLSProtocol, TlsVersion>> = {
  [ServerTLSSettings_TLSProtocol.TLS_AUTO]: TlsVersion.TLS_VERSION_AUTO,
  [ServerTLSSettings_TLSProtocol.TLSV1_0]: TlsVersion.TLS_VERSION_1_0,
  [ServerTLSSettings_TLSProtocol.TLSV1_1]: TlsVersion.TLS_VERSION_1_1,
  [ServerTLSSettings_TLSProtocol.TLSV1_2]: TlsVersion.TLS_VERSION_1_2,
  [ServerTLSSettings_TLSProtocol.TLSV1_3]: TlsVersion.TLS_VERSION_1_3,
  [ServerTLSSettings_TLSProtocol.UNRECOGNIZED]: TlsVersion.UNRECOGNIZED,
};

const clientModes: Readonly<Record<ClientTLSSettings_TLSmode, ClientTlsMode>> = {
  [ClientTLSSettings_TLSmode.DISABLE]: ClientTlsMode.CLIENT_TLS_MODE_DISABLE,
  [ClientTLSSettings_TLSmode.SIMPLE]: ClientTlsMode.CLIENT_TLS_MODE_SIMPLE,
  [ClientTLSSettings_TLSmode.MUTUAL]: ClientTlsMode.CLIENT_TLS_MODE_MUTUAL,
  [ClientTLSSettings_TLSmode.ISTIO_MUTUAL]: ClientTlsMode.CLIENT_TLS_MODE_ISTIO_MUTUAL,
  [ClientTLSSettings_TLSmode.UNRECOGNIZED]: ClientTlsMode.UNRECOGNIZED,
};

/** What a mode does not use is left out, so that it changes nothing. */
export function serverTls(from: ServerTLSSettings | undefined): ServerTls | undefined {
  if (from === undefined) return undefined;
  const terminates = isTerminating(from.mode);
  const credentials = from.credentialName === '' ? from.credentialNames : [from.credentialName];
  const byFile = terminates && credentials.length === 0;
  return {
    ...blankServer,
    mode: serverModes[from.mode],
    httpsRedirect: from.httpsRedirect,
    credentials: terminates ? credentials.map(credentialKey) : [],
    caCredential:
      terminates && from.caCertCredentialName !== ''
        ? credentialKey(from.caCertCredentialName)
        : '',
    serverCertificate: byFile ? from.serverCertificate : '',
    privateKey: byFile ? from.privateKey : '',
    caCertificates: terminates ? from.caCertificates : '',
    subjectAltNames: sortedSet(from.subjectAltNames),
    certificateHashes: sortedSet(from.verifyCertificateHash),
    minVersion: versions[from.minProtocolVersion],
    maxVersion: versions[from.maxProtocolVersion],
    // The order is the server's preference.
    cipherSuites: [...new Set(from.cipherSuites.filter(isCipherSuite))],
  };
}

export function clientTls(from: ClientTLSSettings | undefined): ClientTls | undefined {
  if (from === undefined) return undefined;
  return {
    ...blankClient,
    mode: clientModes[from.mode],
    credential: from.credentialName === '' ? '' : credentialKey(from.credentialName),
    clientCertificate: from.clientCertificate,
    privateKey: from.privateKey,
    caCertificates: from.caCertificates,
    subjectAltNames: sortedSet(from.subjectAltNames),
    sni: from.sni,
    insecureSkipVerify: from.insecureSkipVerify ?? false,
  };
}
