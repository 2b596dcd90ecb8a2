import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemTime } from '@watershed/runtime/clock.ts';
import { xdsOptions } from '@watershed/runtime/options-common.ts';
import { defineOptions, OptionsError, type ConfigOf } from '@watershed/runtime/options.ts';
import { parseOptions } from '@watershed/runtime/options-parse.ts';
import { afterAll, expect, it } from 'vitest';
import { makeAuthority } from '../../../test/components/certificates.ts';
import { checkSecurity, securityOptions } from '../src/security-options.ts';
import type { Identity } from '../src/identity/spiffe.ts';
import { openSecurity, operatorsOnly } from '../src/security.ts';
import { loggerInto } from './support/world.ts';

const dir = mkdtempSync(join(tmpdir(), 'security-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const program = {
  name: 'test',
  description: '',
  version: '1',
  table: defineOptions({ ...securityOptions, grpcAddr: xdsOptions.grpcAddr }),
  check: checkSecurity,
};
type Config = ConfigOf<typeof program.table>;

function config(argv: readonly string[], environment: Record<string, string> = {}): Config {
  const parsed = parseOptions(program, {
    argv,
    environment,
  });
  if (parsed.kind === 'print') throw new Error('printed');
  return parsed.config;
}

function problems(argv: readonly string[], environment: Record<string, string> = {}): string {
  try {
    config(argv, environment);
    return '';
  } catch (error) {
    return error instanceof OptionsError ? error.problems.join('\n') : String(error);
  }
}

it('plaintext beyond loopback needs to be allowed', () => {
  expect(problems(['--grpcAddr', ':15010'])).toMatch(/^--grpcAddr :15010: plaintext beyond/u);
  expect(problems(['--grpcAddr', '10.0.0.1:15010'])).toMatch(/--allowPlaintext=true/u);
  expect(problems(['--grpcAddr', ':15010', '--allowPlaintext=true'])).toBe('');
  expect(problems(['--grpcAddr', '[::1]:15010'])).toBe('');
});

it('a TLS listener that nobody could use is refused, and so is half of one', () => {
  const files = ['--tlsCertFile', 'a', '--tlsKeyFile', 'b'];
  expect(problems(files)).toMatch(
    /--caCertFile, --jwtIssuer, --tokenReview or JWT_RULE: one is needed/u,
  );
  expect(problems([...files, '--caCertFile', 'c'])).toBe('');
  expect(problems(['--secureGRPCAddr', ':15012'])).toMatch(/--tlsCertFile.*\n--tlsKeyFile/u);
  expect(problems(['--tlsCertFile', 'a', '--caCertFile', 'c'])).toMatch(/--tlsKeyFile/u);
  expect(problems(['--jwtIssuer', 'x'])).toMatch(/--jwtIssuer and --jwtKeys/u);
  expect(problems(['--jwtIssuer', 'x', '--jwtKeys', 'http://x'])).toMatch(/must be https/u);
  expect(problems([], { JWT_RULE: '{"issuer":"x"}' })).toMatch(/^JWT_RULE: one of jwksUri/u);
  expect(problems([], { XDS_AUTH_PLAINTEXT: 'true' })).toMatch(/^XDS_AUTH_PLAINTEXT: needs/u);
});

it("TLS is served at istiod's address if no other is named", async () => {
  const authority = makeAuthority('roots');
  const { certificate, key } = authority.issue({ commonName: 'x', names: ['x'] });
  const [certFile, keyFile, caFile] = ['tls.crt', 'tls.key', 'ca.crt'].map((n) => join(dir, n));
  writeFileSync(String(certFile), certificate);
  writeFileSync(String(keyFile), key);
  writeFileSync(String(caFile), authority.certificate);
  const flags = ['--tlsCertFile', certFile, '--tlsKeyFile', keyFile, '--caCertFile', caFile];
  const around = { time: systemTime, logger: loggerInto([]) };
  const opened = await openSecurity(config(flags.map(String)), around);
  expect(opened.tls?.address).toEqual({ host: '', port: 15_012 });
  expect(opened.tls?.source.current.clientCa).toBe(authority.certificate);
  expect(opened.identity?.verifyToken).toBeUndefined();
  const tokens = config([], {
    JWT_RULE: '{"issuer":"x","jwksUri":"https://x"}',
    TRUST_DOMAIN_ALIASES: 'old',
  });
  const { identity, tls } = await openSecurity(tokens, around);
  expect(identity?.trustDomains).toEqual(['cluster.local', 'old']);
  expect(identity?.verifyToken).toBeDefined();
  expect(tls).toBeUndefined();
});

it('the state of others is for accounts of istio-system, and of namespaces that are named', async () => {
  const verifyToken = (token: string): Promise<Identity> => {
    if (token === 'bad') return Promise.reject(new Error('it is bad'));
    return Promise.resolve({ namespace: token, serviceAccount: 'x', pod: '' });
  };
  const { identity } = await openSecurity(
    config([], { DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES: 'kiali' }),
    { time: systemTime, logger: loggerInto([]) },
  );
  expect(operatorsOnly(identity)).toBeUndefined();
  const access = operatorsOnly({ ...identity, verifyToken });
  await access?.('Bearer istio-system');
  await access?.('Bearer kiali');
  await expect(access?.('Bearer shop')).rejects.toThrow("shop/x may not see others' state");
  await expect(access?.('Bearer bad')).rejects.toMatchObject({ code: 'denied' });
  await expect(access?.(undefined)).rejects.toThrow(/bearer token is needed/u);
  await expect(access?.('Basic eDp5')).rejects.toThrow(/not a bearer token/u);
});
