/** Values that the Gateway API's kinds share, with the bounds and patterns of its CRDs. */
import {
  defaulted,
  int,
  invalid,
  list,
  map,
  object,
  oneOf,
  optional,
  refine,
  required,
  text,
} from '../../decode.ts';
import type { At, Decoder, Invalid } from '../../decode.ts';
import type { LabelSelector } from '../common/labels.ts';

export const group = 'gateway.networking.k8s.io';

const subdomain = String.raw`[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*`;
const host = 'must be a DNS name in lower case';

export const port = int(1, 65_535);

export const objectName = text({ min: 1, max: 253 });

export const namespaceName = text({
  min: 1,
  max: 63,
  pattern: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/u,
  reason: 'must be the name of a namespace',
});

/** Of a listener, or of a rule. */
export const sectionName = text({
  min: 1,
  max: 253,
  pattern: new RegExp(`^${subdomain}$`, 'u'),
  reason: host,
});

const notAddress = (value: string, at: At): string | Invalid =>
  /^[0-9.]+$/u.test(value) ? at.error(value, 'must be a host name, not an IP address') : value;

/** A host, or `*.` and one. */
export const hostname = refine(
  text({
    min: 1,
    max: 253,
    pattern: new RegExp(String.raw`^(\*\.)?${subdomain}$`, 'u'),
    reason: `${host}, or "*." and one`,
  }),
  notAddress,
);

export const preciseHostname = refine(
  text({ min: 1, max: 253, pattern: new RegExp(`^${subdomain}$`, 'u'), reason: host }),
  notAddress,
);

export const groupName = text({
  max: 253,
  pattern: new RegExp(`^$|^${subdomain}$`, 'u'),
  reason: 'must be the name of an API group; "" is the core group',
});

export const kindName = text({
  min: 1,
  max: 63,
  pattern: /^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/u,
  reason: 'must be the name of a kind',
});

export const headerName = text({
  min: 1,
  max: 256,
  pattern: /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/u,
  reason: 'must be the name of a header',
});

/** Printable ASCII, with single spaces or tabs between. */
export const headerValue = text({
  min: 1,
  max: 4096,
  pattern: /^[!-~](?:[\t ]?[!-~])*$/u,
  reason: 'must be printable ASCII, without spaces at its ends or two in a row',
});

const duration = /^([0-9]{1,5}(h|m|s|ms)){1,4}$/u;
const unitMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };
/** What the model's 32 bits hold. */
const maxDurationMs = 0xff_ff_ff_ff;

/** A duration of GEP-2257, as milliseconds: `1h`, `90s`, `1s500ms`. */
export const durationMs: Decoder<number> = refine(
  text({ max: 64, pattern: duration, reason: 'must be a duration, as 500ms, 10s or 1h30m' }),
  (value, at) => {
    let totalMs = 0;
    for (const [, amount = '', unit = ''] of value.matchAll(/([0-9]+)(h|ms|m|s)/gu)) {
      totalMs += Number(amount) * (unitMs[unit] ?? 0);
    }
    return totalMs <= maxDurationMs ? totalMs : at.error(value, 'must be at most 49 days');
  },
);

/** Lists that Kubernetes keys by a field: each key once. */
export function unique<T>(
  items: Decoder<readonly T[]>,
  keyOf: (item: T) => string,
  field: string,
): Decoder<readonly T[]> {
  return refine(items, (values, at) => {
    const seen = new Set<string>();
    let failed = false;
    for (const [index, value] of values.entries()) {
      const key = keyOf(value);
      if (seen.has(key)) {
        at.item(index).field(field).error(key, 'is listed twice');
        failed = true;
      }
      seen.add(key);
    }
    return failed ? invalid : values;
  });
}

const labels = map(text());

const expression = refine(
  object({
    key: required(text({ min: 1 })),
    operator: required(oneOf('In', 'NotIn', 'Exists', 'DoesNotExist')),
    values: defaulted(list(text()), []),
  }),
  (value, at) => {
    const needsValues = value.operator === 'In' || value.operator === 'NotIn';
    if (needsValues === value.values.length > 0) return value;
    const reason = needsValues ? 'must not be empty' : 'must not be set';
    return at.field('values').error(value.values, `${reason} for ${value.operator}`);
  },
);

export const labelSelector: Decoder<LabelSelector> = object({
  matchLabels: defaulted(labels, {}),
  matchExpressions: defaulted(list(expression), []),
});

/** A reference to an object that may be of another namespace. */
export interface ObjectReference {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | undefined;
}

/** A reference to a Secret, unless it says another kind. */
export const secretReference: Decoder<ObjectReference> = object({
  group: defaulted(groupName, ''),
  kind: defaulted(kindName, 'Secret'),
  name: required(objectName),
  namespace: optional(namespaceName),
});

export const anyReference: Decoder<ObjectReference> = object({
  group: required(groupName),
  kind: required(kindName),
  name: required(objectName),
  namespace: optional(namespaceName),
});
