/** The TLS of a listener, with its references checked. */
import type { Reader } from '@watershed/derive/graph.ts';
import { ServerTls, ServerTlsMode } from '@watershed/model/gen/model.ts';
import { show } from '../../decode.ts';
import type { Problem, SourceObject, World } from '../../kind.ts';
import { butRefused, whyAbsent } from '../common/absent.ts';
import { secretKind } from '../core/secret.ts';
import { secretKey } from '../istio/credentials.ts';
import { isCipherSuite } from '../istio/tls-check.ts';
import { group } from './fields.ts';
import type { ObjectReference } from './fields.ts';
import type { Frontend, GatewaySpec, Listener, ListenerTls } from './gateway-spec.ts';
import { isGranted, referenceGrantKind } from './reference-grant.ts';

const blankTls = ServerTls.create();

/** Istio's options of a listener. */
const modeOption = 'gateway.istio.io/tls-terminate-mode';
const ciphersOption = 'gateway.istio.io/tls-cipher-suites';

const modes: Readonly<Record<string, ServerTlsMode>> = {
  SIMPLE: ServerTlsMode.SERVER_TLS_MODE_SIMPLE,
  MUTUAL: ServerTlsMode.SERVER_TLS_MODE_MUTUAL,
  OPTIONAL_MUTUAL: ServerTlsMode.SERVER_TLS_MODE_OPTIONAL_MUTUAL,
  ISTIO_MUTUAL: ServerTlsMode.SERVER_TLS_MODE_ISTIO_MUTUAL,
};

export interface ListenerTlsResult {
  /** Absent where the listener has none, and where what it has cannot be used. */
  readonly tls: ServerTls | undefined;
  /** Their fields are below the listener. */
  readonly problems: readonly Problem[];
}

export function listenerTls(
  read: Reader,
  world: World,
  gateway: SourceObject<GatewaySpec>,
  listener: Listener,
): ListenerTlsResult {
  const { tls, port } = listener;
  if (tls === undefined) return { tls: undefined, problems: [] };
  if (tls.mode === 'Passthrough') {
    return {
      tls: { ...blankTls, mode: ServerTlsMode.SERVER_TLS_MODE_PASSTHROUGH },
      problems: [warning('tls.mode', 'Passthrough', 'serves nothing: TLSRoutes are not read')],
    };
  }
  if (listener.protocol === 'TLS') {
    const reason = 'is not supported for protocol TLS: the listener is left out';
    return { tls: undefined, problems: [warning('tls.mode', 'Terminate', reason)] };
  }
  const problems: Problem[] = [];
  const mode = modeOf(tls, problems);
  const ciphers = ciphersOf(tls, problems);
  if (mode === ServerTlsMode.SERVER_TLS_MODE_ISTIO_MUTUAL) {
    return { tls: { ...blankTls, mode, cipherSuites: ciphers }, problems };
  }
  const credentials = certificates(read, world, gateway, tls, problems);
  if (credentials.length === 0) return { tls: undefined, problems };
  const served: ServerTls = { ...blankTls, mode, credentials, cipherSuites: ciphers };
  const { frontend } = gateway.spec;
  const own = frontend.find((entry) => entry.port === port);
  const validated = own ?? frontend.find((entry) => entry.port === 0);
  if (validated === undefined || validated.caCertificateRefs.length === 0) {
    return { tls: served, problems };
  }
  const withClients = clientValidation(read, world, gateway, validated, served, problems);
  return { tls: withClients, problems };
}

function warning(field: string, value: unknown, reason: string): Problem {
  return { severity: 'warning', field, value: show(value), reason };
}

function modeOf({ options }: ListenerTls, problems: Problem[]): ServerTlsMode {
  const given = options[modeOption];
  if (given === undefined) return ServerTlsMode.SERVER_TLS_MODE_SIMPLE;
  const mode = Object.hasOwn(modes, given) ? modes[given] : undefined;
  if (mode !== undefined) return mode;
  const field = `tls.options[${JSON.stringify(modeOption)}]`;
  // The stricter reading: a wrong word for MUTUAL must not open the listener to everybody.
  problems.push(warning(field, given, 'is not known; clients must show certificates'));
  return ServerTlsMode.SERVER_TLS_MODE_MUTUAL;
}

function ciphersOf({ options }: ListenerTls, problems: Problem[]): string[] {
  const given = (options[ciphersOption] ?? '').split(',').map((suite) => suite.trim());
  const suites = [...new Set(given.filter((suite) => suite !== ''))];
  for (const suite of suites.filter((name) => !isCipherSuite(name))) {
    const field = `tls.options[${JSON.stringify(ciphersOption)}]`;
    problems.push(warning(field, suite, 'is no cipher suite of Envoy and is left out'));
  }
  return suites.filter(isCipherSuite);
}

/**
 * Keys of the certificates that may be used, in the user's order. One that is absent would keep the
 * others from being shown, so it is left out beside them; alone, it is waited for: a Secret that is
 * deleted by mistake must not close a listener.
 */
function certificates(
  read: Reader,
  world: World,
  gateway: SourceObject<GatewaySpec>,
  tls: ListenerTls,
  problems: Problem[],
): string[] {
  const found = tls.certificateRefs.map((reference) => secretOf(read, world, gateway, reference));
  for (const [index, { reason }] of found.entries()) {
    const field = `tls.certificateRefs[${index}]`;
    const { name } = tls.certificateRefs[index] ?? {};
    if (reason !== '') problems.push(warning(field, name, reason));
  }
  const allowed = found.filter(({ key }) => key !== '');
  const present = allowed.filter(({ isPresent }) => isPresent);
  if (allowed.length === 0) {
    const reason = 'has no certificate that can be used: the listener is left out';
    problems.push(warning('tls.certificateRefs', tls.certificateRefs, reason));
  }
  return (present.length > 0 ? present : allowed).map(({ key }) => key);
}

interface FoundSecret {
  /** Empty if it must not be used. */
  readonly key: string;
  readonly isPresent: boolean;
  /** What is wrong with it; empty if nothing is. */
  readonly reason: string;
}

function secretOf(
  read: Reader,
  world: World,
  gateway: SourceObject<GatewaySpec>,
  reference: ObjectReference,
): FoundSecret {
  const { kind, name } = reference;
  const { namespace: own } = gateway.ref;
  const refused = (reason: string): FoundSecret => ({ key: '', isPresent: false, reason });
  if (reference.group !== '' || kind !== 'Secret') {
    return refused(`must be a Secret: ${kind}s are not supported`);
  }
  const namespace = reference.namespace ?? own;
  const from = { group, kind: 'Gateway', namespace: own };
  if (!isGranted(read, world, from, { group: '', kind, namespace, name })) {
    const reason = `is in namespace ${namespace}, of which no ReferenceGrant allows it`;
    return refused(reason + butRefused(world.refused(read, referenceGrantKind, `${namespace}/`)));
  }
  const key = secretKey(namespace, name);
  const secret = read.get(world.objects(secretKind), `${namespace}/${name}`);
  if (secret === undefined) {
    const reason = whyAbsent(read, world, secretKind, `${namespace}/${name}`);
    return { key, isPresent: false, reason };
  }
  const isPresent = secret.spec.material !== undefined;
  return { key, isPresent, reason: isPresent ? '' : 'holds no certificate' };
}

/** Undefined if the clients' certificates could not be verified as asked for. */
function clientValidation(
  read: Reader,
  world: World,
  gateway: SourceObject<GatewaySpec>,
  frontend: Frontend,
  served: ServerTls,
  problems: Problem[],
): ServerTls | undefined {
  const refuse = (value: unknown, reason: string): undefined => {
    problems.push(warning('tls', value, `is left out: ${reason}`));
  };
  const [reference, ...more] = frontend.caCertificateRefs;
  if (reference === undefined) return served;
  if (more.length > 0) {
    return refuse(frontend.caCertificateRefs, 'spec.tls.frontend has several caCertificateRefs');
  }
  const { key, reason } = secretOf(read, world, gateway, reference);
  if (key === '') {
    return refuse(reference.name, `the caCertificateRef of spec.tls.frontend ${reason}`);
  }
  if (reason !== '') problems.push(warning('tls', reference.name, `its CA ${reason}`));
  const isOptional =
    frontend.mode === 'AllowInsecureFallback' ||
    served.mode === ServerTlsMode.SERVER_TLS_MODE_OPTIONAL_MUTUAL;
  if (frontend.mode === 'AllowInsecureFallback') {
    const allowed = 'lets in clients without a certificate, but none with an invalid one';
    problems.push(warning('tls', frontend.mode, allowed));
  }
  return {
    ...served,
    mode: isOptional
      ? ServerTlsMode.SERVER_TLS_MODE_OPTIONAL_MUTUAL
      : ServerTlsMode.SERVER_TLS_MODE_MUTUAL,
    caCredential: key,
  };
}
