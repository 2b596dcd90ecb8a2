/**
 * Freezes a value and all that it holds, so that nobody can change an input, or a generator's argument, after
 * its digest was taken. Bytes cannot be frozen by the language: nobody writes into them, and the assertion
 * mode of the generator cache notices who does.
 */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Object.isFrozen(value) || ArrayBuffer.isView(value)) return value;
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
  return value;
}
