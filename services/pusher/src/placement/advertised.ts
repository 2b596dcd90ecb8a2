import { hostname } from 'node:os';
import { formatAddress, isLoopback, type Address } from '@watershed/runtime/address.ts';

const everywhere: ReadonlySet<string> = new Set(['', '0.0.0.0', '::']);

/** `host:port`; who listens everywhere is reached by the machine's name. */
export function advertised({ host, port }: Address): string {
  return formatAddress({ host: everywhere.has(host) ? hostname() : host, port });
}

/** Which listener proxies of other machines reach: plaintext is on the loopback, unless allowed. */
export function reached(plaintext: Address, secure: Address | undefined): Address {
  return secure !== undefined && isLoopback(plaintext.host) ? secure : plaintext;
}
