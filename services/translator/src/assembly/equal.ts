/**
 * Equality of plain data (objects, arrays, maps, sets, bytes, scalars), for the early cut-off of
 * queries. Frozen inputs keep their identity while they are unchanged, so most comparisons end at
 * the first line.
 */
export function sameData(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) return Array.isArray(b) && sameList(a, b);
  if (a instanceof Map) return b instanceof Map && sameMap(a, b);
  if (a instanceof Set) return b instanceof Set && sameSet(a, b);
  if (a instanceof Uint8Array) return b instanceof Uint8Array && sameList(a, b);
  return sameObject(a, b);
}

function sameList(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!sameData(a[i], b[i])) return false;
  return true;
}

/** In order: two maps of equal entries in another order give other bytes to who iterates. */
function sameMap(a: ReadonlyMap<unknown, unknown>, b: ReadonlyMap<unknown, unknown>): boolean {
  if (a.size !== b.size) return false;
  const others = b.entries();
  for (const [key, value] of a) {
    const other = others.next();
    if (other.done === true) return false;
    if (!sameData(key, other.value[0]) || !sameData(value, other.value[1])) return false;
  }
  return true;
}

function sameSet(a: ReadonlySet<unknown>, b: ReadonlySet<unknown>): boolean {
  if (a.size !== b.size) return false;
  for (const value of a) if (!b.has(value)) return false;
  return true;
}

/** In order, too: messages of one type have their fields in one order, maps of the model are sorted. */
function sameObject(a: object, b: object): boolean {
  if (!hasFields(a) || !hasFields(b)) return false;
  const keys = Object.keys(a);
  const others = Object.keys(b);
  if (keys.length !== others.length) return false;
  for (let at = 0; at < keys.length; at++) {
    const key = keys[at] ?? '';
    if (key !== others[at] || !sameData(a[key], b[key])) return false;
  }
  return true;
}

/** Any object has, for a reader. */
function hasFields(value: object): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object';
}

/** Element by element, by identity: for lists of values that are kept while they are unchanged. */
export function sameElements(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a === b || (a.length === b.length && a.every((value, at) => Object.is(value, b[at])));
}
