/** What a log line carries besides its message. */
export type LogFields = Readonly<Record<string, unknown>>;

const maxTextLength = 2_048;
const maxItems = 32;
const maxDepth = 4;

/** Names whose values are never logged, whatever is in them. */
const secretName =
  /(?:^|[-_.])(?:password|passwd|token|authorization|cookie|credential)s?$|secret|private[-_.]?key|api[-_.]?key/iu;

/** A private key is struck out wherever it turns up: a config dump quoted in an error, say. */
const privateKey =
  /-----BEGIN ([A-Z ]*)PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/gu;

export function boundText(text: string): string {
  const open = text.includes('PRIVATE KEY-----')
    ? text.replaceAll(privateKey, '[redacted private key]')
    : text;
  if (open.length <= maxTextLength) return open;
  return `${open.slice(0, maxTextLength)}… (${open.length - maxTextLength} more)`;
}

/**
 * A copy that is safe to write: texts of at most 2,048 characters, at most 32 items of a list or
 * record and four levels of nesting, errors as their message, code, causes and stack, bytes as
 * their length, secrets struck out.
 */
export function boundFields(fields: LogFields | undefined): Record<string, unknown> {
  const bounded: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields ?? {})) {
    // `scope` and the like belong to the line; a field cannot pretend to be them.
    const free = reserved.has(name) ? `${name}_` : name;
    bounded[free] = boundField(name, value, 0);
  }
  return bounded;
}

const reserved = new Set(['time', 'level', 'scope', 'msg']);

function boundField(name: string, value: unknown, depth: number): unknown {
  const isSet = value !== undefined && value !== null && value !== '';
  return isSet && secretName.test(name) ? '[redacted]' : boundValue(value, depth);
}

function boundValue(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return boundText(value);
    case 'bigint':
    case 'symbol':
      return value.toString();
    case 'function':
      return '[function]';
    case 'object':
      return value === null ? null : boundObject(value, depth);
    case 'number':
    case 'boolean':
    case 'undefined':
      return value;
  }
}

function boundObject(value: object, depth: number): unknown {
  if (value instanceof Error) return boundError(value, depth);
  if (value instanceof Uint8Array) return `[${value.length} bytes]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'no date' : value.toISOString();
  if (depth >= maxDepth) return '[…]';
  if (value instanceof Set) return boundItems([...value.values()], depth);
  if (Array.isArray(value)) return boundItems(value, depth);
  const bounded: Record<string, unknown> = {};
  const entries: readonly (readonly [unknown, unknown])[] =
    value instanceof Map ? [...value.entries()] : Object.entries(value);
  for (const [key, item] of entries.slice(0, maxItems)) {
    const name = boundText(typeof key === 'string' ? key : JSON.stringify(key));
    bounded[name] = boundField(name, item, depth + 1);
  }
  if (entries.length > maxItems) bounded['…'] = `${entries.length - maxItems} more`;
  return bounded;
}

function boundItems(list: readonly unknown[], depth: number): readonly unknown[] {
  const items = list.slice(0, maxItems).map((item) => boundValue(item, depth + 1));
  return list.length > maxItems ? [...items, `… (${list.length - maxItems} more)`] : items;
}

function boundError(error: Error, depth: number): unknown {
  if (depth >= maxDepth) return boundText(error.message);
  return {
    message: boundText(error.message),
    ...('code' in error ? { code: boundValue(error.code, depth + 1) } : {}),
    ...(error.cause === undefined ? {} : { cause: boundValue(error.cause, depth + 1) }),
    ...(depth === 0 && error.stack !== undefined ? { stack: boundText(error.stack) } : {}),
  };
}
