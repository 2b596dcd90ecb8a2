import { InvalidArgumentError, type Command } from 'commander';
import type { XdsTls } from '../bootstrap-tls.ts';
import { envoyBootstrap } from '../bootstrap.ts';

interface Flags {
  readonly node: string;
  readonly xdsAddress: { readonly host: string; readonly port: number };
  readonly delta?: true;
  readonly label: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly adminPort: number;
  readonly certDir?: string;
  readonly tls?: true;
  readonly tokenFile?: string;
  readonly rootCert?: string;
  readonly serverName?: string;
}

export function addBootstrap(program: Command, print: (text: string) => void): void {
  const bootstrap = program
    .command('bootstrap')
    .description('print a bootstrap that a data plane runs as it is');
  bootstrap
    .command('envoy')
    .description('for a stock Envoy 1.40 (envoy -c FILE)')
    .requiredOption('--node <id>', "istio's node id, sidecar~IP~POD.NS~DOMAIN or router~…")
    .requiredOption('--xds-address <host:port>', 'where a pusher listens', parseAddress)
    .option('--delta', 'delta xDS instead of state of the world')
    .option('--label <k=v>', 'a label of the workload (repeat)', parseLabel, {})
    .option('--metadata <json>', 'node metadata, merged over what the flags give', parseObject, {})
    .option('--admin-port <n>', "Envoy's admin port on 127.0.0.1; 0 picks one", parsePort, 15000)
    .option('--cert-dir <dir>', 'cert-chain.pem, key.pem and root-cert.pem for mutual TLS')
    .option('--tls', 'reach the control plane by TLS (15012), with the certificate of --cert-dir')
    .option('--token-file <file>', 'by TLS, with this token in place of a certificate')
    .option(
      '--root-cert <file>',
      "signs the control plane's certificate (root-cert.pem of --cert-dir)",
    )
    .option(
      '--server-name <name>',
      "of the control plane's certificate (the host of --xds-address)",
    )
    .action((flags: Flags) => {
      const config = envoyBootstrap({
        node: flags.node,
        xdsHost: flags.xdsAddress.host,
        xdsPort: flags.xdsAddress.port,
        delta: flags.delta === true,
        labels: flags.label,
        metadata: flags.metadata,
        adminPort: flags.adminPort,
        certDir: flags.certDir,
        tls: tlsOf(flags),
      });
      print(JSON.stringify(config, undefined, 2));
    });
}

function tlsOf(flags: Flags): XdsTls | undefined {
  const { certDir, tokenFile, xdsAddress } = flags;
  if (flags.tls !== true && tokenFile === undefined) return undefined;
  const rootCertFile = flags.rootCert ?? (certDir === undefined ? undefined : rootsIn(certDir));
  if (rootCertFile === undefined) {
    throw new InvalidArgumentError('TLS needs --root-cert, or --cert-dir with root-cert.pem');
  }
  return {
    rootCertFile,
    tokenFile,
    certDir: tokenFile === undefined ? certDir : undefined,
    serverName: flags.serverName ?? xdsAddress.host,
  };
}

function rootsIn(certDir: string): string {
  return `${certDir}/root-cert.pem`;
}

function parseAddress(value: string): Flags['xdsAddress'] {
  const colon = value.lastIndexOf(':');
  const host = value.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  const port = Number(value.slice(colon + 1));
  if (colon <= 0 || !Number.isInteger(port) || port < 1 || port > 65535) {
    throw new InvalidArgumentError(`${JSON.stringify(value)} must be HOST:PORT`);
  }
  return { host, port };
}

function parseLabel(
  value: string,
  before: Readonly<Record<string, string>>,
): Record<string, string> {
  const equals = value.indexOf('=');
  if (equals <= 0) throw new InvalidArgumentError(`${JSON.stringify(value)} must be KEY=VALUE`);
  return { ...before, [value.slice(0, equals)]: value.slice(equals + 1) };
}

function parseObject(value: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch (error) {
    throw new InvalidArgumentError(`not JSON: ${error instanceof Error ? error.message : ''}`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new InvalidArgumentError('must be a JSON object');
  }
  return { ...parsed };
}

function parsePort(value: string): number {
  const port = Number(value);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new InvalidArgumentError(`${JSON.stringify(value)} must be a port, 0 to 65535`);
  }
  return port;
}
