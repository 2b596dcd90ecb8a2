/** From options to who is served: what `main.ts` here and in `standalone` give to the pusher. */
import type { Time } from '@watershed/runtime/clock.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import type { DebugAccess } from '@watershed/runtime/http.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import type { PusherOptions } from './pusher-options.ts';
import {
  Authenticator,
  Unauthenticated,
  type AuthenticatorOptions,
  type VerifyToken,
} from './identity/authenticator.ts';
import { createPostReview } from './identity/api-server.ts';
import { createTokenReview } from './identity/token-review.ts';
import { keyPlace, parseJwtRule, type TokenRule } from './identity/token-rules.ts';
import { createVerifyToken } from './identity/tokens.ts';
import type { SecurityConfig } from './security-options.ts';
import { TlsFiles } from './server/tls-files.ts';

/** Where operators are. */
const rootNamespace = 'istio-system';
/** Istiod's. */
const defaultSecureAddress = { host: '', port: 15_012 };

export interface Security {
  readonly identity: AuthenticatorOptions;
  readonly tls?: NonNullable<PusherOptions['tls']>;
}

export async function openSecurity(
  config: SecurityConfig,
  around: { readonly time: Time; readonly logger: Logger },
): Promise<Security> {
  const trustDomains = [config.trustDomain, ...config.trustDomainAliases];
  const identity = {
    trustDomains,
    policy: {
      gatewayAccounts: new Set(config.gatewayAccounts),
      nodeAccounts: new Set(config.nodeAccounts),
      operatorNamespaces: new Set([rootNamespace, ...config.debugNamespaces]),
    },
    verifyToken: tokens(config, trustDomains, around),
    plaintextNeedsToken: config.plaintextNeedsToken,
  };
  const { tlsCertFile: certFile, tlsKeyFile: keyFile, caCertFile: caFile } = config;
  if (certFile === undefined || keyFile === undefined) return { identity };
  const source = await TlsFiles.open({
    certFile,
    keyFile,
    caFile,
    timers: around.time,
    logger: around.logger,
  });
  return { identity, tls: { address: config.secureGrpcAddr ?? defaultSecureAddress, source } };
}

/** From other machines, /debug is for accounts that may see what is served to others. */
export function operatorsOnly(identity: AuthenticatorOptions): DebugAccess | undefined {
  if (identity.verifyToken === undefined) return undefined;
  const authenticator = new Authenticator({ ...identity, plaintextNeedsToken: true });
  const caller = {
    ...{ address: '', port: 0, secure: false },
    ...{ identities: [], certificateProblem: '' },
  };
  return async (authorization) => {
    try {
      const { account, mayOperate } = await authenticator.authenticate(
        caller,
        authorization,
        () => undefined,
      );
      if (!mayOperate) throw new OperatingError('denied', `${account} may not see others' state`);
    } catch (error) {
      if (!(error instanceof Unauthenticated)) throw error;
      throw new OperatingError('denied', error.message, { cause: error });
    }
  };
}

function tokens(
  config: SecurityConfig,
  trustDomains: readonly string[],
  { time, logger }: { readonly time: Time; readonly logger: Logger },
): VerifyToken | undefined {
  const { jwtIssuer: issuer, jwtKeys, jwtRule, tokenAudiences: audiences } = config;
  const rules: TokenRule[] = [];
  if (issuer !== undefined && jwtKeys !== undefined) {
    rules.push({ issuer, audiences, keys: keyPlace(jwtKeys) });
  }
  if (jwtRule !== undefined) rules.push(parseJwtRule(jwtRule, audiences));
  const review = reviewOf(config, { time, logger });
  if (rules.length === 0 && review === undefined) return undefined;
  return createVerifyToken({ rules, review, trustDomains, clock: time, logger });
}

function reviewOf(
  config: SecurityConfig,
  { time, logger }: { readonly time: Time; readonly logger: Logger },
): VerifyToken | undefined {
  const { tokenReview: url, tokenReviewCaFile: caFile, tokenReviewTokenFile: tokenFile } = config;
  if (url === undefined) return undefined;
  const post = createPostReview({ url, caFile, tokenFile });
  return createTokenReview({ post, audiences: config.tokenAudiences, clock: time, logger });
}
