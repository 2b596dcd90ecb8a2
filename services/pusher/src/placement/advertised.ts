import { hostname } from 'node:os';
import { formatAddress, type Address } from '@watershed/runtime/address.ts';

const everywhere: ReadonlySet<string> = new Set(['', '0.0.0.0', '::']);

/** `host:port`; who listens everywhere is reached by the machine's name. */
export function advertised({ host, port }: Address): string {
  return formatAddress({ host: everywhere.has(host) ? hostname() : host, port });
}
