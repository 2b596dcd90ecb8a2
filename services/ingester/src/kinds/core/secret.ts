/**
 * Secrets that hold certificates. What they hold leaves this process sealed, and never in a
 * message.
 */
import { SecretMaterial } from '@watershed/model/gen/model.ts';
import { configKey } from '@watershed/model/keys.ts';
import {
  anything,
  bool,
  decode,
  defaulted,
  isServed,
  map,
  object,
  optional,
  text,
  type Decoder,
} from '../../decode.ts';
import type {
  Decoded,
  Emission,
  Kind,
  Problem,
  RawObject,
  SourceObject,
  World,
} from '../../kind.ts';
import { checkCa, checkPair, type PemProblem } from './pem.ts';

export interface SecretSpec {
  /** Absent: it holds no certificate, so nobody here wants it. */
  readonly material?: SecretMaterial;
}

/** Secrets by name, whatever their namespace. */
export const nameIndex = 'name';

export const secretKind: Kind<SecretSpec> = {
  apiVersions: ['v1'],
  kind: 'Secret',
  namespaced: true,
  indexes: { [nameIndex]: ({ ref }) => [ref.name] },
  alsoNamed: (_raw, { name }) => [name],
  partRead,
  isSecret: true,
  decode: decodeSecret,
  emit: (_read, world, object) => emit(world, object),
};

/** etcd takes no more than 1.5 MiB, Kubernetes no Secret of more than 1 MiB. */
const maxValueChars = 1_500_000;

/** A value of which problems show nothing. */
const hidden: Decoder<string> = (value, at) => {
  if (typeof value !== 'string') return at.error(undefined, 'must be a string');
  return value.length <= maxValueChars ? value : at.error(undefined, 'is too large');
};

const base64: Decoder<Uint8Array> = (value, at) => {
  const textValue = hidden(value, at);
  if (typeof textValue !== 'string') return textValue;
  const compact = textValue.replaceAll(/[\r\n]/gu, '');
  const isBase64 = compact.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/u.test(compact);
  return isBase64
    ? new Uint8Array(Buffer.from(compact, 'base64'))
    : at.error(undefined, 'is not base64; text as it is belongs into stringData');
};

const secretDecoder = object(
  {
    metadata: defaulted(anything, {}),
    type: defaulted(text({ max: 253 }), 'Opaque'),
    data: defaulted(map(base64), {}),
    stringData: defaulted(map(hidden), {}),
    immutable: optional(bool),
  },
  ['apiVersion', 'kind'],
);

/**
 * Which entries hold what, in istiod's order: its own names first, then those of kubernetes.io/tls.
 */
const pairs = [
  { certificate: 'cert', key: 'key', ca: 'cacert', crl: 'crl' },
  { certificate: 'tls.crt', key: 'tls.key', ca: 'ca.crt', crl: 'ca.crl' },
] as const;
const stapleEntry = 'tls.ocsp-staple';
const tlsType = 'kubernetes.io/tls';

const entriesRead = new Set<string>([
  ...pairs.flatMap((names) => Object.values(names)),
  stapleEntry,
]);

/** Without what an application has beside its certificate, and tools' copies in annotations. */
function partRead(raw: RawObject): RawObject {
  const { apiVersion, kind, metadata, type } = raw;
  const { name, namespace, labels, creationTimestamp, uid } = metadata;
  const read = (field: string): object | undefined => {
    const entries = Object.entries(raw[field] ?? {}).filter(([entry]) => entriesRead.has(entry));
    return entries.length === 0 ? undefined : Object.fromEntries(entries);
  };
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, labels, creationTimestamp, uid },
    type,
    data: read('data'),
    stringData: read('stringData'),
  };
}

function decodeSecret(raw: RawObject): Decoded<SecretSpec> {
  const { spec: secret, problems } = decode(secretDecoder, raw, {
    path: '',
    unknownFields: isServed(raw) ? 'warning' : 'error',
  });
  if (secret === undefined) return { problems };
  const entries = new Map(Object.entries(secret.data));
  for (const [name, value] of Object.entries(secret.stringData)) {
    entries.set(name, new Uint8Array(Buffer.from(value)));
  }
  if (secret.type !== tlsType && secret.type !== 'Opaque') return { spec: {}, problems };
  const found = materialOf(entries, secret.type);
  const all = [...problems, ...found.problems];
  return found.spec === undefined ? { problems: all } : { spec: found.spec, problems: all };
}

function materialOf(entries: ReadonlyMap<string, Uint8Array>, type: string): Decoded<SecretSpec> {
  const has = (name: string): boolean => (entries.get(name)?.length ?? 0) > 0;
  const value = (name: string): Uint8Array => entries.get(name) ?? new Uint8Array(0);
  const pair = pairs.find(({ certificate, key }) => has(certificate) && has(key));
  // `key` alone is many an application's; only the names of kubernetes.io/tls say that a pair was
  // meant.
  const half = pairs.slice(1).find(({ certificate, key }) => has(certificate) || has(key));
  const ca = pairs.find((names) => has(names.ca));
  if (pair === undefined && (half !== undefined || type === tlsType)) {
    const { certificate, key } = half ?? pairs[1];
    const missing = has(certificate) ? key : certificate;
    return { problems: [inEntry(missing, { reason: 'is required beside the other half' })] };
  }
  if (pair === undefined && ca === undefined) return { spec: {}, problems: [] };
  const problems = [
    ...(pair === undefined
      ? []
      : checkPair(value(pair.certificate), value(pair.key)).map((problem) =>
          inEntry(problem.of === 'key' ? pair.key : pair.certificate, problem),
        )),
    ...(ca === undefined ? [] : checkCa(value(ca.ca)).map((problem) => inEntry(ca.ca, problem))),
  ];
  if (problems.length > 0) return { problems };
  const none = new Uint8Array(0);
  const material: SecretMaterial = {
    certificateChain: pair === undefined ? none : value(pair.certificate),
    privateKey: pair === undefined ? none : value(pair.key),
    caCertificates: ca === undefined ? none : value(ca.ca),
    crl: ca === undefined ? none : value(ca.crl),
    ocspStaple: pair === undefined ? none : value(stapleEntry),
  };
  return { spec: { material }, problems };
}

function inEntry(name: string, { reason }: Pick<PemProblem, 'reason'>): Problem {
  return { severity: 'error', field: `data[${JSON.stringify(name)}]`, value: '', reason };
}

function emit(world: World, { ref, spec }: SourceObject<SecretSpec>): Emission {
  const { material } = spec;
  if (material === undefined) return { events: [], problems: [] };
  const { sealed, keyId } = world.seal(SecretMaterial.encode(material).finish());
  const value = {
    sealed,
    keyId,
    hasCertificate: material.certificateChain.length > 0,
    hasCa: material.caCertificates.length > 0,
  };
  const { namespace, name } = ref;
  const key = configKey({ cluster: world.settings.cluster, kind: 'secret', namespace, name });
  const event = { object: { $case: 'secret', value } } as const;
  return { events: [{ topic: 'config', key, event }], problems: [] };
}
