/**
 * Freezes a value (a tree) and all that it holds, so that nobody can change an input. Bytes cannot
 * be frozen by the language: nobody writes into them, and the assertion mode of the generator cache
 * notices who does.
 */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value)) return value;
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
  return value;
}
