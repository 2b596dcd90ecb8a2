import { isIP } from 'node:net';

/** Where a server listens, or a client connects to. */
export interface Address {
  /** A name or an IP without brackets; empty: all interfaces (Go's `:15010`). */
  readonly host: string;
  /** 0: the system picks one. */
  readonly port: number;
}

/** `host:port`, `[v6]:port` or `:port`; `undefined` if the text is none of these. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([^\]]*)\]|([^:[\]\s]*)):(\d{1,5})$/u.exec(text);
  if (match === null) return undefined;
  const [, bracketed, plain, digits] = match;
  const port = Number(digits);
  if (port > 65_535) return undefined;
  if (bracketed !== undefined && isIP(bracketed) !== 6) return undefined;
  return { host: bracketed ?? plain ?? '', port };
}

export function formatAddress(address: Address): string {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/**
 * Whether only this machine reaches it: `localhost`, 127.0.0.0/8, ::1 (also as an IPv4-mapped
 * address).
 */
export function isLoopback(host: string): boolean {
  const plain = host.startsWith('::ffff:') ? host.slice('::ffff:'.length) : host;
  return (
    plain === 'localhost' || plain === '::1' || (isIP(plain) === 4 && plain.startsWith('127.'))
  );
}

/** By which this machine reaches who listens there: of all interfaces, loopback. */
export function nearAddress(address: Address): Address {
  if (address.host === '' || address.host === '0.0.0.0') return { ...address, host: '127.0.0.1' };
  return address.host === '::' ? { ...address, host: '::1' } : address;
}

/** What `server.listen` of Node takes. */
export function listenOptions(address: Address): { port: number; host?: string } {
  return address.host === '' ? { port: address.port } : { port: address.port, host: address.host };
}
