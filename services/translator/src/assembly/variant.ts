/**
 * A variant names which inputs a shared resource was made of, never their values: `key=value` pairs
 * in the order in which the keys were given, those with an empty value left out. So a variant is
 * the same in every process, and what it names can be read back from it.
 */

export type Fields = Readonly<Record<string, string>>;

export function encodeVariant(fields: Fields): string {
  const pairs: string[] = [];
  for (const [key, value] of Object.entries(fields)) {
    if (value !== '') pairs.push(`${key}=${escape(value)}`);
  }
  return pairs.join(';');
}

/** A key that is not there reads as ''. */
export function decodeVariant(variant: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  if (variant === '') return fields;
  for (const pair of variant.split(';')) {
    const at = pair.indexOf('=');
    fields.set(pair.slice(0, at), unescape(pair.slice(at + 1)));
  }
  return fields;
}

export function field(fields: ReadonlyMap<string, string>, key: string): string {
  return fields.get(key) ?? '';
}

const reserved = /[%;,]/;

function escape(value: string): string {
  if (!reserved.test(value)) return value;
  return value.replaceAll('%', '%25').replaceAll(';', '%3B').replaceAll(',', '%2C');
}

function unescape(value: string): string {
  if (!value.includes('%')) return value;
  return value.replaceAll('%2C', ',').replaceAll('%3B', ';').replaceAll('%25', '%');
}

/** A list as one value of a variant; its items contain no space (keys, hosts and labels do not). */
export function encodeList(items: readonly string[]): string {
  return items.join(' ');
}

export function decodeList(value: string): readonly string[] {
  return value === '' ? [] : value.split(' ');
}

/**
 * Labels as one value: `a:b c:d`, by key. Keys and values of labels contain neither ":" nor a
 * space.
 */
export function encodeLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}:${value}`);
  return pairs.sort().join(' ');
}

export function decodeLabels(value: string): Readonly<Record<string, string>> {
  const labels: Record<string, string> = {};
  for (const pair of decodeList(value)) {
    const at = pair.indexOf(':');
    labels[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return labels;
}
