/** The option `WATERSHED_RESOURCE_TTL`: `eds=5m,rds=1h`. */
import { parseDuration } from '@watershed/runtime/duration.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import type { ProxyNode } from './node-scope.ts';
import type { Mode } from './session/request.ts';
import { typeByShort } from './session/type-traits.ts';

/** Heartbeats come three times in a TTL: shorter ones would be nothing but heartbeats. */
const minMs = 1_000;
const maxMs = 7 * 24 * 3_600_000;

/** By type URL. Throws an OperatingError `invalid` that names the row that is wrong. */
export function ttlsOf(rows: readonly string[]): ReadonlyMap<string, number> {
  const ttls = new Map<string, number>();
  for (const row of rows) {
    const [short = '', text = '', ...rest] = row.split('=');
    const typeUrl = typeByShort(short.toUpperCase());
    const ms = parseDuration(text);
    if (typeUrl === undefined || ms === undefined || rest.length > 0) {
      throw new OperatingError(
        'invalid',
        `WATERSHED_RESOURCE_TTL ${JSON.stringify(row)}: not TYPE=DURATION with TYPE as eds or rds`,
      );
    }
    if (ms !== 0 && (ms < minMs || ms > maxMs)) {
      throw new OperatingError('invalid', `WATERSHED_RESOURCE_TTL ${row}: not 0, nor 1s to 168h`);
    }
    ttls.set(typeUrl, Math.round(ms));
  }
  return ttls;
}

/** What of it a client is told: TTLs are for those that know them (rules 45, 47). */
export function ttlsFor(
  ttls: ReadonlyMap<string, number>,
  node: ProxyNode,
  mode: Mode,
): ReadonlyMap<string, number> | undefined {
  const knows = node.resourceTtl && (mode === 'delta' || node.resourceInSotw);
  return knows && ttls.size > 0 ? ttls : undefined;
}
