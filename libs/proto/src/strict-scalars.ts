/**
 * What protobuf's JSON accepts for one value, and the form of it that the generated `fromJSON`
 * reads.
 */
import { ScalarType, type DescEnum } from '@bufbuild/protobuf';

/** The value to hand on, or why it cannot be used. */
export type Outcome =
  | { readonly ok: true; readonly json: unknown }
  | { readonly ok: false; readonly reason: string };

const good = (json: unknown): Outcome => ({ ok: true, json });
const bad = (reason: string): Outcome => ({ ok: false, reason });

const safe = Number.MAX_SAFE_INTEGER;
const unsigned32: readonly [number, number] = [0, 0xffff_ffff];
const signed32: readonly [number, number] = [-0x8000_0000, 0x7fff_ffff];

/** 64-bit integers are held as numbers, so what is beyond 2^53 is refused. */
const ranges = new Map<ScalarType, readonly [number, number]>([
  [ScalarType.INT32, signed32],
  [ScalarType.SINT32, signed32],
  [ScalarType.SFIXED32, signed32],
  [ScalarType.UINT32, unsigned32],
  [ScalarType.FIXED32, unsigned32],
  [ScalarType.INT64, [-safe, safe]],
  [ScalarType.SINT64, [-safe, safe]],
  [ScalarType.SFIXED64, [-safe, safe]],
  [ScalarType.UINT64, [0, safe]],
  [ScalarType.FIXED64, [0, safe]],
]);

export function scalar(type: ScalarType, value: unknown): Outcome {
  const range = ranges.get(type);
  if (range !== undefined) return integer(value, range);
  switch (type) {
    case ScalarType.STRING:
      return text(value);
    case ScalarType.BOOL:
      return typeof value === 'boolean' ? good(value) : expected('true or false', value);
    case ScalarType.BYTES:
      return bytes(value);
    default:
      return float(value, type === ScalarType.FLOAT ? 3.402_823_5e38 : Number.MAX_VALUE);
  }
}

/** A map's key is always text in JSON. */
export function mapKey(type: ScalarType, key: string): Outcome {
  if (type !== ScalarType.BOOL) return scalar(type, key);
  return key === 'true' || key === 'false' ? good(key) : expected('true or false', key);
}

export function enumValue(desc: DescEnum, value: unknown): Outcome {
  if (typeof value === 'string') {
    const found = desc.values.some((candidate) => candidate.name === value);
    return found ? good(value) : bad(`expected one of ${names(desc)}`);
  }
  if (typeof value !== 'number') return expected(`one of ${names(desc)}`, value);
  return desc.value[value] === undefined ? bad(`expected one of ${names(desc)}`) : good(value);
}

function names(desc: DescEnum): string {
  return desc.values.map(({ name }) => name).join(', ');
}

function text(value: unknown): Outcome {
  if (typeof value !== 'string') return expected('text', value);
  return value.isWellFormed() ? good(value) : bad('text is not valid Unicode');
}

function integer(value: unknown, [min, max]: readonly [number, number]): Outcome {
  const number = numeric(value);
  if (number === undefined) return expected('an integer', value);
  if (!Number.isInteger(number)) return bad('expected an integer');
  if (number < min || number > max) return bad(`expected an integer from ${min} to ${max}`);
  return good(number);
}

function float(value: unknown, max: number): Outcome {
  const number = numeric(value);
  if (number === undefined) return expected('a number', value);
  return Math.abs(number) <= max ? good(number) : bad('the number is out of range');
}

/** Numbers may be quoted. NaN and infinities are no use in a configuration. */
function numeric(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value !== 'string') return undefined;
  return /^-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$/.test(value) ? Number(value) : undefined;
}

function bytes(value: unknown): Outcome {
  if (typeof value !== 'string') return expected('base64', value);
  const standard = value.replaceAll('-', '+').replaceAll('_', '/');
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(standard) || standard.replaceAll('=', '').length % 4 === 1) {
    return bad('expected base64');
  }
  return good(standard);
}

const units: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};
const durationPart = /(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/y;
const maxDuration = 2n ** 63n - 1n;
const durationWanted = 'a duration such as 1h, 2m30s, 1.5s or 250ms';

/**
 * As Go's time.ParseDuration, which Istio reads durations with; handed on in seconds
 * ("0.250000000s").
 */
export function duration(value: unknown): Outcome {
  if (typeof value !== 'string') return expected(durationWanted, value);
  const signed = /^[-+]/.test(value);
  const nanos = value.length > 100 ? undefined : nanoseconds(signed ? value.slice(1) : value);
  if (nanos === undefined) return bad(`expected ${durationWanted}`);
  if (nanos > maxDuration) return bad('the duration is longer than 292 years');
  const seconds = nanos / 1_000_000_000n;
  const rest = String(nanos % 1_000_000_000n).padStart(9, '0');
  return good(`${value.startsWith('-') ? '-' : ''}${seconds}.${rest}s`);
}

function nanoseconds(value: string): bigint | undefined {
  if (value === '0') return 0n;
  let total = 0n;
  let position = 0;
  while (position < value.length) {
    durationPart.lastIndex = position;
    const match = durationPart.exec(value);
    const [all = '', whole = '', fraction = '', name = ''] = match ?? [];
    const unit = units[name];
    if (unit === undefined || whole + fraction === '') return undefined;
    total += BigInt(whole || '0') * unit;
    total += (BigInt(fraction || '0') * unit) / 10n ** BigInt(fraction.length);
    position += all.length;
  }
  return position === 0 ? undefined : total;
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[-+]\d\d:\d\d)$/;

export function timestamp(value: unknown): Outcome {
  const wanted = 'a time such as 2030-01-31T12:00:00Z';
  if (typeof value !== 'string') return expected(wanted, value);
  if (!rfc3339.test(value) || Number.isNaN(Date.parse(value))) return bad(`expected ${wanted}`);
  return good(value);
}

function expected(what: string, value: unknown): Outcome {
  return bad(`expected ${what}, got ${kindOf(value)}`);
}

/** What a user would call it. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  switch (typeof value) {
    case 'object':
      return 'an object';
    case 'string':
      return 'text';
    case 'number':
      return 'a number';
    default:
      return `a ${typeof value}`;
  }
}
