import { formatAddress, parseAddress, type Address } from './address.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { nearest } from './nearest.ts';

/** What every option says of itself. One of `flag` and `env` is needed; a flag wins over a variable. */
interface RowCommon {
  /** In istiod's spelling where istiod has it. */
  readonly flag?: `--${string}`;
  /** Other spellings of the flag, not listed by `--help` but named there. */
  readonly aliases?: readonly `-${string}`[];
  /** Environment variables; the first that is set and not empty counts. */
  readonly env?: readonly string[];
  /** One or two sentences: what it does, and why its default is what it is. */
  readonly doc: string;
  /**
   * Never shown: not in `--help`, not in logs, not in debug pages. `in-url`: what stands before the
   * host of a URL.
   */
  readonly secret?: true | 'in-url';
  /** Heading in `--help`. */
  readonly group?: string;
}

export interface StringRow extends RowCommon {
  readonly type: 'string';
  readonly default?: string;
  /** What kind of text, for `--help`: `path`, `url`. */
  readonly placeholder?: string;
  readonly pattern?: RegExp;
  /** What the pattern takes besides what is not empty, for people. */
  readonly form?: string;
}

export interface IntRow extends RowCommon {
  readonly type: 'int';
  readonly default?: number;
  readonly min?: number;
  readonly max?: number;
  readonly unit?: string;
}

export interface NumberRow extends RowCommon {
  readonly type: 'number';
  readonly default?: number;
  readonly min?: number;
  readonly max?: number;
  readonly unit?: string;
}

export interface BoolRow extends RowCommon {
  readonly type: 'bool';
  readonly default?: boolean;
}

/**
 * In milliseconds in the configuration; in Go's syntax everywhere else, bounds and default
 * included.
 */
export interface DurationRow extends RowCommon {
  readonly type: 'duration';
  readonly default?: string;
  readonly min?: string;
  readonly max?: string;
}

export interface AddressRow extends RowCommon {
  readonly type: 'address';
  readonly default?: string;
}

export interface EnumRow extends RowCommon {
  readonly type: 'enum';
  readonly values: readonly string[];
  readonly default?: string;
}

/** Separated by commas; a repeated flag adds to it. Default: empty. */
export interface ListRow extends RowCommon {
  readonly type: 'list';
  readonly default?: readonly string[];
  readonly placeholder?: string;
}

export type Row =
  | StringRow
  | IntRow
  | NumberRow
  | BoolRow
  | DurationRow
  | AddressRow
  | EnumRow
  | ListRow;

/** A value as the configuration holds it. */
export type OptionValue = string | number | boolean | Address | readonly string[];

export type Parsed<V> =
  | { readonly ok: true; readonly value: V }
  | { readonly ok: false; readonly reason: string };

const trueTexts = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const falseTexts = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);

/** Reads the text of a flag or variable. The reason says what was expected, never the value. */
export function parseValue(row: Row, text: string): Parsed<OptionValue> {
  switch (row.type) {
    case 'string':
      if (row.pattern !== undefined && !row.pattern.test(text)) {
        return refused(
          text === '' ? 'must not be empty' : `not ${row.form ?? 'of the right form'}`,
        );
      }
      return accepted(text);
    case 'int':
      return /^[+-]?\d+$/u.test(text) && Number.isSafeInteger(Number(text))
        ? bounded(row, Number(text), row.min, row.max, String)
        : refused('not a whole number');
    case 'number':
      return text.trim() !== '' && Number.isFinite(Number(text))
        ? bounded(row, Number(text), row.min, row.max, String)
        : refused('not a number');
    case 'bool':
      if (trueTexts.has(text)) return accepted(true);
      return falseTexts.has(text) ? accepted(false) : refused('not true or false');
    case 'duration':
      return parseDurationValue(row, text);
    case 'address': {
      const address = parseAddress(text);
      return address === undefined
        ? refused('not an address; expected HOST:PORT, [IPV6]:PORT or :PORT')
        : accepted(address);
    }
    case 'enum':
      return row.values.includes(text) ? accepted(text) : refused(notOneOf(row.values, text));
    case 'list':
      return accepted(splitList(text));
  }
}

function parseDurationValue(row: DurationRow, text: string): Parsed<OptionValue> {
  const durationMs = parseDuration(text);
  if (durationMs === undefined) {
    return refused('not a duration; expected a number and a unit, as 100ms, 10s or 1m30s');
  }
  const min = parseDuration(row.min ?? '0');
  const max = row.max === undefined ? undefined : parseDuration(row.max);
  return bounded(row, durationMs, min, max, formatDuration);
}

function bounded(
  row: Row,
  value: number,
  min: number | undefined,
  max: number | undefined,
  format: (value: number) => string,
): Parsed<number> {
  const unit = 'unit' in row && row.unit !== undefined ? ` ${row.unit}` : '';
  if (min !== undefined && value < min) return refused(`must be at least ${format(min)}${unit}`);
  if (max !== undefined && value > max) return refused(`must be at most ${format(max)}${unit}`);
  return accepted(value);
}

function notOneOf(values: readonly string[], text: string): string {
  const near = nearest(text, values);
  const hint = near === undefined ? '' : `; did you mean ${near}?`;
  return `not one of ${values.join(', ')}${hint}`;
}

/** Items are trimmed; empty ones are dropped. */
export function splitList(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function accepted<V>(value: V): Parsed<V> {
  return { ok: true, value };
}

function refused(reason: string): { readonly ok: false; readonly reason: string } {
  return { ok: false, reason };
}

/** As a user would write it. */
export function formatValue(row: Row, value: OptionValue | undefined): string {
  if (value === undefined) return '';
  if (row.type === 'duration' && typeof value === 'number') return formatDuration(value);
  if (typeof value !== 'object') return String(value);
  return 'port' in value ? formatAddress(value) : value.join(',');
}

/** The default as the configuration holds it; a wrong one is a mistake in the table. */
export function defaultOf(row: Row): OptionValue | undefined {
  if (row.type === 'list') return row.default ?? [];
  if (row.default === undefined) return undefined;
  const parsed = parseValue(row, String(row.default));
  if (!parsed.ok) throw new RangeError(`default ${String(row.default)}: ${parsed.reason}`);
  return parsed.value;
}

/** What of a value's text may be shown. */
export function shownOf({ secret }: Row, text: string): string {
  if (secret === undefined) return text;
  return secret === true ? '[redacted]' : withoutUser(text);
}

/** Up to the last @: a password that is not encoded, so that it is no URL, is not shown either. */
export function withoutUser(text: string): string {
  return text.replace(/^(.*?\/\/)?.*@/su, '$1[redacted]@');
}
