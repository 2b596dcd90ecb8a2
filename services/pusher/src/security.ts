/** From options to who is served: what `main.ts` here and in `standalone` give to the pusher. */
import type { Time } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import type { PusherOptions } from './app.ts';
import type { VerifyToken } from './identity/authenticator.ts';
import { keyPlace, parseJwtRule, type TokenRule } from './identity/token-rules.ts';
import { createVerifyToken } from './identity/tokens.ts';
import type { SecurityConfig } from './security-options.ts';
import { TlsFiles } from './server/tls-files.ts';

/** Where operators are. */
const rootNamespace = 'istio-system';
/** Istiod's. */
const defaultSecureAddress = { host: '', port: 15_012 };

export async function openSecurity(
  config: SecurityConfig,
  around: { readonly time: Time; readonly logger: Logger },
): Promise<Pick<PusherOptions, 'identity' | 'tls'>> {
  const trustDomains = [config.trustDomain, ...config.trustDomainAliases];
  const identity = {
    trustDomains,
    policy: {
      gatewayAccounts: new Set(config.gatewayAccounts),
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

function tokens(
  { jwtIssuer: issuer, jwtKeys, jwtRule, tokenAudiences: audiences }: SecurityConfig,
  trustDomains: readonly string[],
  { time, logger }: { readonly time: Time; readonly logger: Logger },
): VerifyToken | undefined {
  const rules: TokenRule[] = [];
  if (issuer !== undefined && jwtKeys !== undefined) {
    rules.push({ issuer, audiences, keys: keyPlace(jwtKeys) });
  }
  if (jwtRule !== undefined) rules.push(parseJwtRule(jwtRule, audiences));
  if (rules.length === 0) return undefined;
  return createVerifyToken({ rules, trustDomains, clock: time, logger });
}
