/**
 * Small changes of plain data: every field of a message or of a generator's argument, one at a
 * time.
 */

/**
 * A field's path as the canonical digest names it, with `[]` for any element of a list:
 * `hosts[].tls.sni`.
 */
export interface Perturbed<T> {
  readonly path: string;
  readonly value: T;
}

/** Every path of a field that holds something, in order of appearance. */
export function pathsOf(value: object): readonly string[] {
  const paths = new Set<string>();
  const walk = (inner: unknown, path: string): void => {
    if (typeof inner !== 'object' || inner === null || inner instanceof Uint8Array) return;
    if (Array.isArray(inner)) {
      for (const element of inner) walk(element, `${path}[]`);
      return;
    }
    for (const [key, field] of Object.entries(inner)) {
      if (field === undefined) continue;
      const at = path === '' ? key : `${path}.${key}`;
      paths.add(at);
      walk(field, at);
    }
  };
  walk(value, '');
  return [...paths];
}

/** Copies of `value` with one field changed; all of its fields, each in some ways. */
export function* perturb<T extends object>(value: T): IterableIterator<Perturbed<T>> {
  for (const [path, changed] of perturbInner(value, '')) {
    if (path !== '') yield { path, value: changed as T };
  }
}

function* perturbInner(value: unknown, path: string): IterableIterator<[string, unknown]> {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) {
    for (const changed of others(value)) yield [path, changed];
    return;
  }
  if (Array.isArray(value)) {
    yield* perturbList(value, path);
    return;
  }
  const fields = Object.entries(value);
  // Nearly always a map of texts.
  if (fields.length === 0) yield [path, { x: 'x' }];
  for (const [key, field] of fields) {
    if (field === undefined) continue;
    const at = path === '' ? key : `${path}.${key}`;
    for (const [inner, changed] of perturbInner(field, at)) {
      yield [inner, { ...value, [key]: changed }];
    }
    const { [key]: _gone, ...rest } = value as Record<string, unknown>;
    yield [at, rest];
  }
}

function* perturbList(
  value: readonly unknown[],
  path: string,
): IterableIterator<[string, unknown]> {
  for (const [at, element] of value.entries()) {
    for (const [inner, changed] of perturbInner(element, `${path}[]`)) {
      yield [inner, value.with(at, changed)];
    }
  }
  if (value.length === 0) {
    yield [path, ['x']];
    return;
  }
  yield [path, value.slice(1)];
  yield [path, value.slice(0, -1)];
  yield [path, value.toReversed()];
  yield [path, [...value, ...value.slice(-1)]];
}

function others(value: unknown): readonly unknown[] {
  switch (typeof value) {
    case 'string':
      return [`${value}x`, `x${value}`, ''];
    case 'number':
      return [value + 1, value - 1, 0, value * 2 + 7];
    case 'boolean':
      return [!value];
    case 'bigint':
      return [value + 1n];
    default:
      return value instanceof Uint8Array ? [Uint8Array.from([...value, 1])] : [];
  }
}
