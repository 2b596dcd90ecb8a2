/** Who is served, and how it is known who that is: options of the pusher and of `standalone`. */
import { formatAddress, isLoopback, type Address } from '@watershed/runtime/address.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import { defineOptions, type ConfigOf } from '@watershed/runtime/options.ts';
import { parseJwtRule } from './identity/token-rules.ts';

const group = 'Security';

export const securityOptions = defineOptions({
  secureGrpcAddr: {
    type: 'address',
    flag: '--secureGRPCAddr',
    env: ['WATERSHED_SECURE_GRPC_ADDR'],
    group,
    doc: 'Where xDS is served over TLS to clients with a certificate or a token: :15012 if --tlsCertFile is set, else nowhere.',
  },
  tlsCertFile: {
    type: 'string',
    flag: '--tlsCertFile',
    env: ['WATERSHED_TLS_CERT_FILE'],
    placeholder: 'file',
    group,
    doc: 'The certificate chain of the TLS listener, PEM. Read again when it changes; open streams go on.',
  },
  tlsKeyFile: {
    type: 'string',
    flag: '--tlsKeyFile',
    env: ['WATERSHED_TLS_KEY_FILE'],
    placeholder: 'file',
    group,
    doc: 'Its private key, PEM.',
  },
  caCertFile: {
    type: 'string',
    flag: '--caCertFile',
    env: ['WATERSHED_CA_CERT_FILE'],
    placeholder: 'file',
    group,
    doc: "What signs proxies' certificates, PEM. Without it only tokens say who a proxy is.",
  },
  allowPlaintext: {
    type: 'bool',
    flag: '--allowPlaintext',
    env: ['WATERSHED_ALLOW_PLAINTEXT'],
    default: false,
    group,
    doc: 'Lets --grpcAddr be another address than loopback: whoever can connect can then read all configuration, secrets apart.',
  },
  plaintextNeedsToken: {
    type: 'bool',
    env: ['XDS_AUTH_PLAINTEXT'],
    default: false,
    group,
    doc: 'Whether clients in plaintext need a token, those of this machine too: behind a gateway that ends TLS.',
  },
  trustDomain: {
    type: 'string',
    env: ['TRUST_DOMAIN'],
    default: 'cluster.local',
    pattern: /^[a-z0-9._-]{1,255}$/u,
    form: 'at most 255 of a-z, 0-9, dot, dash and underscore',
    group,
    doc: "The trust domain of proxies' certificates, as MeshConfig's trustDomain.",
  },
  trustDomainAliases: {
    type: 'list',
    env: ['TRUST_DOMAIN_ALIASES'],
    placeholder: 'domain,…',
    group,
    doc: 'Other trust domains whose certificates are taken.',
  },
  gatewayAccounts: {
    type: 'list',
    flag: '--gatewayServiceAccounts',
    env: ['WATERSHED_GATEWAY_SERVICE_ACCOUNTS'],
    placeholder: 'namespace/account,…',
    group,
    doc: 'The only accounts that may be routers, and so get the secrets of Gateways. If not set, any account may be one in its own namespace.',
  },
  nodeAccounts: {
    type: 'list',
    env: ['CA_TRUSTED_NODE_ACCOUNTS'],
    default: ['istio-system/ztunnel', 'kube-system/ztunnel'],
    placeholder: 'namespace/account,…',
    group,
    doc: 'The only accounts that may be a ztunnel, which is told of the workloads of all namespaces.',
  },
  debugNamespaces: {
    type: 'list',
    env: ['DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES'],
    placeholder: 'namespace,…',
    group,
    doc: 'Namespaces whose accounts may see the state of others (/debug from other machines, CSDS), beside istio-system.',
  },
  jwtIssuer: {
    type: 'string',
    flag: '--jwtIssuer',
    env: ['WATERSHED_JWT_ISSUER'],
    placeholder: 'url',
    group,
    doc: "Whose tokens are taken, such as a cluster's service-account issuer.",
  },
  jwtKeys: {
    type: 'string',
    flag: '--jwtKeys',
    env: ['WATERSHED_JWT_KEYS'],
    placeholder: 'file|url',
    group,
    doc: 'Its public keys: a file (JWKS or PEM), or the https URL of a JWKS. Read again as they rotate.',
  },
  tokenAudiences: {
    type: 'list',
    env: ['TOKEN_AUDIENCES'],
    default: ['istio-ca'],
    placeholder: 'audience,…',
    group,
    doc: 'A token must be for one of these.',
  },
  tokenReview: {
    type: 'string',
    flag: '--tokenReview',
    env: ['WATERSHED_TOKEN_REVIEW'],
    placeholder: 'url',
    group,
    doc: 'An API server that is asked whose other tokens are, as istiod asks (TokenReview): https://kubernetes.default.svc in a cluster. It knows which were taken back.',
  },
  tokenReviewCaFile: {
    type: 'string',
    flag: '--tokenReviewCAFile',
    env: ['WATERSHED_TOKEN_REVIEW_CA_FILE'],
    default: '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt',
    placeholder: 'file',
    group,
    doc: 'What signs its certificate, PEM.',
  },
  tokenReviewTokenFile: {
    type: 'string',
    flag: '--tokenReviewTokenFile',
    env: ['WATERSHED_TOKEN_REVIEW_TOKEN_FILE'],
    default: '/var/run/secrets/kubernetes.io/serviceaccount/token',
    placeholder: 'file',
    group,
    doc: 'The token of an account that may create tokenreviews.',
  },
  jwtRule: {
    type: 'string',
    env: ['JWT_RULE'],
    placeholder: 'json',
    group,
    doc: "One more issuer, as istiod takes it: {issuer, audiences, jwksUri or jwks} of Istio's JWTRule.",
  },
});

export type SecurityConfig = ConfigOf<typeof securityOptions>;

/** For `Program.check`. */
export function checkSecurity(
  config: SecurityConfig & { readonly grpcAddr: Address },
): readonly string[] {
  return [...checkPlaintext(config), ...checkTls(config), ...checkTokens(config)];
}

function checkPlaintext({
  grpcAddr,
  allowPlaintext,
}: {
  readonly grpcAddr: Address;
  readonly allowPlaintext: boolean;
}): readonly string[] {
  if (allowPlaintext || isLoopback(grpcAddr.host)) return [];
  return [
    `--grpcAddr ${formatAddress(grpcAddr)}: plaintext beyond loopback shows all configuration to whoever can connect; serve TLS by --secureGRPCAddr, or say --allowPlaintext=true`,
  ];
}

function checkTls(config: SecurityConfig): readonly string[] {
  const { secureGrpcAddr, tlsCertFile, tlsKeyFile, caCertFile } = config;
  if (secureGrpcAddr === undefined && tlsCertFile === undefined && tlsKeyFile === undefined) {
    return [];
  }
  const problems: string[] = [];
  if (tlsCertFile === undefined) problems.push('--tlsCertFile: needed to serve TLS');
  if (tlsKeyFile === undefined) problems.push('--tlsKeyFile: needed to serve TLS');
  if (caCertFile === undefined && !takesTokens(config)) {
    problems.push(
      '--caCertFile, --jwtIssuer, --tokenReview or JWT_RULE: one is needed, else nobody could connect',
    );
  }
  return problems;
}

function takesTokens({ jwtIssuer, jwtRule, tokenReview }: SecurityConfig): boolean {
  return jwtIssuer !== undefined || jwtRule !== undefined || tokenReview !== undefined;
}

function checkTokens(config: SecurityConfig): readonly string[] {
  const { jwtIssuer, jwtKeys, jwtRule, plaintextNeedsToken, tokenReview } = config;
  const problems: string[] = [];
  if ((jwtIssuer === undefined) !== (jwtKeys === undefined)) {
    problems.push('--jwtIssuer and --jwtKeys: one needs the other');
  }
  if (jwtKeys?.startsWith('http://') === true) problems.push('--jwtKeys: must be https or a file');
  if (tokenReview !== undefined && !/^https:\/\/[^/?#]+\/?$/u.test(tokenReview)) {
    problems.push('--tokenReview: must be https://HOST[:PORT]');
  }
  if (!takesTokens(config) && plaintextNeedsToken) {
    problems.push('XDS_AUTH_PLAINTEXT: needs --jwtIssuer, --tokenReview or JWT_RULE');
  }
  if (jwtRule !== undefined) {
    try {
      parseJwtRule(jwtRule, config.tokenAudiences);
    } catch (error) {
      problems.push(`JWT_RULE: ${describeError(error)}`);
    }
  }
  return problems;
}
