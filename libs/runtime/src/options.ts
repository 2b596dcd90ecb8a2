import type { Address } from './address.ts';
import { OperatingError } from './errors.ts';
import { defaultOf, formatValue, shownOf, type OptionValue, type Row } from './option-rows.ts';

/** One row per option, by its name in the configuration. Duration rows' names end in `Ms`. */
export type OptionTable = Readonly<Record<string, Row>>;

interface ValueTypes {
  string: string;
  int: number;
  number: number;
  bool: boolean;
  duration: number;
  address: Address;
  list: readonly string[];
}

type ValueOf<R extends Row> = R extends { type: 'enum'; values: readonly (infer V)[] }
  ? V
  : R['type'] extends keyof ValueTypes
    ? ValueTypes[R['type']]
    : never;

type HasValue<R extends Row> = R extends { default: unknown } | { type: 'list' } ? true : false;

/** The typed configuration of a table: without a default, a value can be `undefined`. */
export type ConfigOf<T extends OptionTable> = {
  readonly [K in keyof T]: HasValue<T[K]> extends true ? ValueOf<T[K]> : ValueOf<T[K]> | undefined;
};

/**
 * Checks a table once, when it is made: names are unique, defaults are within their own bounds.
 *
 * @throws RangeError naming the row.
 */
export function defineOptions<const T extends OptionTable>(table: T): T {
  const taken = new Map<string, string>();
  for (const [name, row] of Object.entries<Row>(table)) {
    if (row.flag === undefined && row.env === undefined) {
      throw new RangeError(`option ${name} has neither a flag nor a variable`);
    }
    for (const spelling of [...spellingsOf(row), ...(row.env ?? [])]) {
      const other = taken.get(spelling);
      if (other !== undefined) throw new RangeError(`${spelling} is of ${other} and of ${name}`);
      taken.set(spelling, name);
    }
    try {
      defaultOf(row);
    } catch (error) {
      throw new RangeError(`option ${name}`, { cause: error });
    }
  }
  return table;
}

/** A row's flag and its other spellings. */
export function spellingsOf(row: Row): readonly string[] {
  return row.flag === undefined ? [] : [row.flag, ...(row.aliases ?? [])];
}

/** Where a value came from: the flag or the variable as spelled by the user. */
export interface OptionSource {
  readonly kind: 'flag' | 'environment' | 'default';
  readonly spelling: string | undefined;
}

/** All that is wrong with the options, one line each: flag or variable, value, reason. */
export class OptionsError extends OperatingError {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super('invalid', problems.join('\n'));
    this.name = 'OptionsError';
    this.problems = problems;
  }
}

export interface OptionDescription {
  readonly name: string;
  readonly flag: string | undefined;
  readonly env: readonly string[];
  /** As a user would write it; secrets are `[redacted]`, or empty if they are not set. */
  readonly value: string;
  readonly source: OptionSource;
}

/** What runs with which values and why, for logs and debug pages. Secrets are not in it. */
export function describeOptions<T extends OptionTable>(
  table: T,
  config: ConfigOf<T>,
  sources: Readonly<Record<keyof T, OptionSource>>,
): readonly OptionDescription[] {
  const values: Readonly<Record<string, OptionValue | undefined>> = config;
  return Object.entries<Row>(table).map(([name, row]) => {
    const value = values[name];
    const shown = value === undefined ? '' : shownOf(row, formatValue(row, value));
    const source = sources[name] ?? { kind: 'default', spelling: undefined };
    return { name, flag: row.flag, env: row.env ?? [], value: shown, source };
  });
}
