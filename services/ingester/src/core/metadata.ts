/** Names, labels and annotations of objects, by Kubernetes' rules (apimachinery's validation). */
import {
  decode,
  defaulted,
  invalid,
  isServed,
  map,
  object,
  optional,
  refine,
  text,
  type At,
  type Decoder,
  type Invalid,
} from '../decode.ts';
import type { Decoded, RawObject } from '../kind.ts';
import { isLabelKey, isLabelValue } from '../kinds/common/labels.ts';

export interface Metadata {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly createdMs: number;
}

export interface Identity {
  /** Empty for kinds without namespaces. */
  readonly namespace: string;
  readonly name: string;
}

const maxName = 253;
const maxNamespace = 63;
const maxAnnotationsChars = 256 * 1024;
const subdomain = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/u;

const nameReason =
  'must be a DNS name: a-z, 0-9, "-" and ".", starting and ending with a letter or digit';
const namespaceReason =
  'must be a DNS label: a-z, 0-9 and "-", starting and ending with a letter or digit';

/**
 * Where an object belongs; its name may still be refused. Objects without a namespace are in
 * `default`.
 */
export function identityOf(raw: RawObject, namespaced: boolean): Identity {
  const { name, namespace } = raw.metadata;
  const plain = (value: unknown): string => (typeof value === 'string' ? value : '');
  return {
    namespace: namespaced ? plain(namespace) || 'default' : '',
    name: plain(name),
  };
}

const labelKey: Decoder<string> = (key, at) =>
  typeof key === 'string' && isLabelKey(key)
    ? key
    : at.error(key, 'is no label key: at most 63 characters, with an optional DNS prefix and "/"');

const labelValue: Decoder<string> = refine(text(), (value, at) =>
  isLabelValue(value)
    ? value
    : at.error(value, 'must be at most 63 letters, digits, "-", "_" and "."'),
);

const created: Decoder<number> = refine(text(), (value, at) => {
  const parsedMs = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/u.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(parsedMs)
    ? at.error(value, 'must be a time as 2026-01-31T08:00:00Z')
    : parsedMs;
});

/** What API servers write into metadata, and what no emitter reads. */
const dropped = [
  'clusterName',
  'deletionGracePeriodSeconds',
  'deletionTimestamp',
  'finalizers',
  'generateName',
  'generation',
  'managedFields',
  'ownerReferences',
  'resourceVersion',
  'selfLink',
  'uid',
];

const metadata = object(
  {
    name: defaulted(text({ min: 1, max: maxName, pattern: subdomain, reason: nameReason }), ''),
    namespace: optional(
      text({
        max: maxNamespace,
        pattern: /^$|^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/u,
        reason: namespaceReason,
      }),
    ),
    labels: defaulted(map(labelValue, { key: labelKey }), {}),
    annotations: defaulted(refine(map(text()), annotationsSize), {}),
    creationTimestamp: defaulted(created, 0),
  },
  dropped,
);

function annotationsSize(
  value: Readonly<Record<string, string>>,
  at: At,
): Readonly<Record<string, string>> | Invalid {
  let characters = 0;
  for (const [key, entry] of Object.entries(value)) characters += key.length + entry.length;
  if (characters <= maxAnnotationsChars) return value;
  at.error(undefined, `has ${characters} characters in all, more than ${maxAnnotationsChars}`);
  return invalid;
}

export function decodeMetadata(raw: RawObject): Decoded<Metadata> {
  const { spec, problems } = decode(metadata, raw.metadata, {
    path: 'metadata',
    unknownFields: isServed(raw) ? 'warning' : 'error',
  });
  if (spec === undefined) return { problems };
  const { labels, annotations, creationTimestamp } = spec;
  return { spec: { labels, annotations, createdMs: creationTimestamp }, problems };
}
