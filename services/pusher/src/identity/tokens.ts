/**
 * Tokens of Kubernetes' service accounts and of OIDC issuers, verified by the issuer's public keys,
 * without asking anybody; of other issuers by whom is asked. A subject is
 * `system:serviceaccount:NAMESPACE:ACCOUNT`, or a SPIFFE id (JWT-SVID).
 */
import type { Clock } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type JWTPayload,
  type JWTVerifyOptions,
} from 'jose';
import type { VerifyToken } from './authenticator.ts';
import { KeySet, type PublicKey } from './key-set.ts';
import { parseSpiffeId, type Identity } from './spiffe.ts';
import type { TokenRule } from './token-rules.ts';

export interface TokensOptions {
  readonly rules: readonly TokenRule[];
  /** Asked of tokens of other issuers. Absent: these are not taken. */
  readonly review?: VerifyToken | undefined;
  readonly trustDomains: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

const maxTokenLength = 8_192;
/** Signatures by public keys only: with a shared secret, who verifies could sign. */
const algorithms = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];
/** Of clocks that differ. */
const toleranceSeconds = 30;

/** A verifier of tokens. Its errors say what is wrong and quote nothing of the token. */
export function createVerifyToken(options: TokensOptions): VerifyToken {
  const rules = new Map<string, { readonly rule: TokenRule; readonly keys: KeySet }>();
  for (const rule of options.rules) {
    rules.set(rule.issuer, { rule, keys: new KeySet({ ...options, place: rule.keys }) });
  }
  return async (token) => {
    if (token.length > maxTokenLength) throw new Error(`it has over ${maxTokenLength} characters`);
    const { issuer, keyId } = claimsOf(token);
    const known = rules.get(issuer);
    if (known === undefined) {
      if (options.review !== undefined) return options.review(token);
      throw new Error('its issuer is not trusted');
    }
    const payload = await verified(token, await known.keys.candidates(keyId), {
      algorithms,
      issuer: known.rule.issuer,
      audience: [...known.rule.audiences],
      currentDate: new Date(options.clock.now()),
      clockTolerance: toleranceSeconds,
      requiredClaims: ['exp', 'sub'],
    });
    return identityOf(payload, options.trustDomains);
  };
}

async function verified(
  token: string,
  candidates: readonly PublicKey[],
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  let problem: unknown = new Error('its key is not known');
  for (const { key } of candidates) {
    try {
      return (await jwtVerify(token, key, options)).payload;
    } catch (error) {
      problem = error;
      // Signed by this key: no other makes it better.
      const claims = error instanceof errors.JWTClaimValidationFailed;
      if (claims || error instanceof errors.JWTExpired) break;
    }
  }
  throw problem;
}

/** Before it is verified: which key to verify it with. */
function claimsOf(token: string): { readonly issuer: string; readonly keyId: string | undefined } {
  try {
    const { kid } = decodeProtectedHeader(token);
    return { issuer: decodeJwt(token).iss ?? '', keyId: kid };
  } catch {
    throw new Error('it is not a JWT');
  }
}

function identityOf(payload: JWTPayload, trustDomains: readonly string[]): Identity {
  const subject = payload.sub ?? '';
  const spiffe = parseSpiffeId(subject, trustDomains);
  if (spiffe !== undefined) return spiffe;
  const [, namespace = '', serviceAccount = ''] =
    /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/u.exec(subject) ?? [];
  if (namespace === '') throw new Error('its subject is no service account');
  return { namespace, serviceAccount, pod: podOf(payload) };
}

/** Of a token that Kubernetes bound to a Pod. */
function podOf(payload: JWTPayload): string {
  const bound = recordOf(recordOf(payload['kubernetes.io'])['pod'])['name'];
  return typeof bound === 'string' ? bound : '';
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
