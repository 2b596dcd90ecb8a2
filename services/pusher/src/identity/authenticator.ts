import { isLoopback } from '@watershed/runtime/address.ts';
import { Caller, type Policy } from './caller.ts';
import { parseSpiffeId, type Identity } from './spiffe.ts';

/** What is known of a client before it said anything. */
export interface PeerIdentity {
  readonly address: string;
  readonly port: number;
  readonly secure: boolean;
  /** URI SANs of a verified certificate. */
  readonly identities: readonly string[];
  /** Why the certificate that it showed is not taken; empty: it is, or it showed none. */
  readonly certificateProblem: string;
}

/** Says whose a token is. @throws an error that tells why it is not taken. */
export type VerifyToken = (token: string) => Promise<Identity>;

export interface AuthenticatorOptions {
  /** The trust domain and its aliases. */
  readonly trustDomains: readonly string[];
  readonly policy: Policy;
  /** Absent: no tokens are taken. */
  readonly verifyToken?: VerifyToken | undefined;
  /** Whether clients in plaintext need a token, those of this machine too. */
  readonly plaintextNeedsToken: boolean;
}

/** Why a client is refused before it is heard. */
export class Unauthenticated extends Error {}

/**
 * Tells who the client of an RPC is. Over TLS a certificate or a token must say so: a client with
 * neither is refused. Checked when the RPC opens, as in istiod: what expires later ends no stream.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** `authorization`: the header. @throws Unauthenticated (or the promise is rejected with it) */
  authenticate(
    peer: PeerIdentity,
    authorization: string | undefined,
    onDenied: (message: string) => void,
  ): Caller | Promise<Caller> {
    const { policy, trustDomains, plaintextNeedsToken } = this.#options;
    if (!peer.secure && !plaintextNeedsToken) {
      const trust = isLoopback(peer.address) ? 'local' : 'anonymous';
      return new Caller({ trust, identities: [], policy, onDenied });
    }
    if (peer.certificateProblem !== '') {
      throw new Unauthenticated(`the certificate is not taken: ${peer.certificateProblem}`);
    }
    const identities = peer.identities.flatMap((id) => parseSpiffeId(id, trustDomains) ?? []);
    const verified = (of: readonly Identity[]): Caller =>
      new Caller({ trust: 'verified', identities: of, policy, onDenied });
    if (identities.length > 0) return verified(identities);
    if (authorization === undefined) throw new Unauthenticated(this.#nothing(peer));
    return this.#byToken(authorization).then((identity) => verified([identity]));
  }

  #nothing({ identities }: PeerIdentity): string {
    const [id] = identities;
    if (id === undefined) return 'a client certificate or a bearer token is needed';
    const domains = this.#options.trustDomains.join(' or ');
    return `the certificate is of ${id.slice(0, 256)}, which is no spiffe://${domains}/ns/…/sa/…`;
  }

  async #byToken(authorization: string): Promise<Identity> {
    const { verifyToken } = this.#options;
    const token = /^bearer +(\S+)$/iu.exec(authorization)?.[1];
    if (token === undefined) throw new Unauthenticated('authorization is not a bearer token');
    if (verifyToken === undefined) throw new Unauthenticated('no issuer of tokens is configured');
    try {
      return await verifyToken(token);
    } catch (error) {
      const reason = error instanceof Error ? error.message : '';
      throw new Unauthenticated(`the token is not taken: ${reason}`, { cause: error });
    }
  }
}
