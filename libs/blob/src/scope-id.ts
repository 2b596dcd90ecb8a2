import { ScopeClass } from '@watershed/model/gen/record.ts';
import { digestOf } from './digest.ts';

/**
 * A scope's id: the digest of its class's canonical encoding (map keys sorted, fields in order,
 * defaults absent), so that every process names a scope alike.
 */
export function scopeId(scopeClass: ScopeClass): string {
  return digestOf(ScopeClass.encode(scopeClass).finish());
}
