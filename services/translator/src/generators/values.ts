/** Small values of Envoy's API that many generators write. */
import type { HeaderValueOption } from '@watershed/proto/gen/envoy/config/core/v3/base.ts';
import { HeaderValueOption_HeaderAppendAction as AppendAction } from '@watershed/proto/gen/envoy/config/core/v3/base.ts';
import {
  FractionalPercent_DenominatorType as Denominator,
  type FractionalPercent,
} from '@watershed/proto/gen/envoy/type/v3/percent.ts';
import type { Duration } from '@watershed/proto/gen/google/protobuf/duration.ts';
import type { HeaderOps } from '@watershed/model/gen/model.ts';

export function durationOf(ms: number): Duration {
  const seconds = Math.trunc(ms / 1000);
  return { seconds, nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

/** Percent (0 to 100, four decimals) in millionths, Envoy's finest. */
export function fractionOf(percent: number): FractionalPercent {
  return { numerator: Math.round(percent * 10_000), denominator: Denominator.MILLION };
}

export interface HeaderEdits {
  readonly add: HeaderValueOption[];
  readonly remove: string[];
}

/** `set` replaces, `add` appends; sorted by name, so that equal maps give equal bytes. */
export function headerEdits(ops: HeaderOps | undefined): HeaderEdits {
  if (ops === undefined) return { add: [], remove: [] };
  const edits = (headers: Readonly<Record<string, string>>, action: AppendAction) =>
    Object.keys(headers)
      .sort()
      .map((key) => option(key, headers[key] ?? '', action));
  return {
    add: [
      ...edits(ops.set, AppendAction.OVERWRITE_IF_EXISTS_OR_ADD),
      ...edits(ops.add, AppendAction.APPEND_IF_EXISTS_OR_ADD),
    ],
    remove: [...ops.remove],
  };
}

function option(key: string, value: string, appendAction: AppendAction): HeaderValueOption {
  return {
    header: { key, value, rawValue: new Uint8Array() },
    append: undefined,
    appendAction,
    keepEmptyValue: true,
  };
}

/** A text as an RE2 expression that matches just it. */
export function quoteRegex(text: string): string {
  return text.replace(/[\\.+*?()|[\]{}^$]/g, '\\$&');
}

/** A text as an RE2 substitution, in which `\\1` would be a group. */
export function quoteSubstitution(text: string): string {
  return text.replaceAll('\\', '\\\\');
}
