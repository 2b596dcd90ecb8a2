import { isLoopback } from '@watershed/runtime/address.ts';
import type { ProxyNode } from './node-scope.ts';

/** What is known of a client beyond its word. */
export interface PeerIdentity {
  readonly address: string;
  readonly secure: boolean;
  /** SPIFFE ids of a verified certificate. */
  readonly identities: readonly string[];
}

/**
 * Whether a client may have the secrets of its scope. Over TLS its certificate must be of the
 * namespace that its node names (`spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT`). In plaintext
 * only this machine's own processes may: nothing goes over a wire then, and who can connect can
 * read this process's files as well.
 */
export function mayHaveSecrets(peer: PeerIdentity, node: ProxyNode): boolean {
  if (!peer.secure) return isLoopback(peer.address);
  return peer.identities.some((id) => namespaceOf(id) === node.namespace);
}

function namespaceOf(spiffeId: string): string | undefined {
  return /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/[^/]+$/u.exec(spiffeId)?.[1];
}
