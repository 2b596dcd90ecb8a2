import { InvalidArgumentError, type Command } from 'commander';
import type { Address } from '@watershed/runtime/address.ts';
import type { XdsTls } from '../bootstrap-tls.ts';
import { envoyBootstrap } from '../bootstrap.ts';
import { inOrder } from '../xds-order.ts';
import { proxylessBootstrap } from '../proxyless-bootstrap.ts';

/** Of every data plane. */
interface Flags {
  readonly node: string;
  readonly xdsAddress: readonly Address[];
  readonly label: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly certDir?: string;
  readonly tls?: true;
  readonly rootCert?: string;
}

interface EnvoyFlags extends Flags {
  readonly delta?: true;
  readonly adminPort: number;
  readonly separateStreams?: true;
  readonly xdstp?: true;
  readonly tokenFile?: string;
  readonly serverName?: string;
}

export function addBootstrap(program: Command, print: (text: string) => void): void {
  const bootstrap = program
    .command('bootstrap')
    .description('print a bootstrap that a data plane runs as it is');
  const envoy = bootstrap
    .command('envoy')
    .description('for a stock Envoy 1.40 (envoy -c FILE)')
    .option('--delta', 'delta xDS instead of state of the world')
    .option('--separate-streams', 'a stream for each type and reference, in place of ADS')
    .option('--xdstp', 'listeners as a collection, by their xdstp:// names')
    .option('--admin-port <n>', "Envoy's admin port on 127.0.0.1; 0 picks one", parsePort, 15000)
    .option(
      '--token-file <file>',
      'by TLS, with this token in place of a certificate',
      parseTokenFile,
    )
    .option(
      '--server-name <name>',
      "of the control plane's certificate (the host of --xds-address)",
    );
  withCommon(envoy).action((flags: EnvoyFlags) => {
    const { delta, adminPort, separateStreams = false, xdstp = false } = flags;
    const tls = tlsOf(flags);
    const how = { delta: delta === true, adminPort, tls, separateStreams, xdstp };
    const config = envoyBootstrap({ ...common(flags), ...how });
    print(JSON.stringify(config, undefined, 2));
  });
  const grpc = bootstrap
    .command('grpc')
    .description('for gRPC without a proxy (GRPC_XDS_BOOTSTRAP=FILE), called xds:///HOST:PORT');
  withCommon(grpc).action((flags: Flags) => {
    const config = proxylessBootstrap({ ...common(flags), tls: tlsOf(flags) });
    print(JSON.stringify(config, undefined, 2));
  });
}

function withCommon(command: Command): Command {
  return command
    .requiredOption('--node <id>', "istio's node id, sidecar~IP~POD.NS~DOMAIN or router~…")
    .requiredOption(
      '--xds-address <host:port>',
      'where a pusher listens (repeat; the order is chosen by the namespace of --node)',
      parseAddress,
    )
    .option('--label <k=v>', 'a label of the workload (repeat)', parseLabel, {})
    .option('--metadata <json>', 'node metadata, merged over what the flags give', parseObject, {})
    .option('--cert-dir <dir>', 'cert-chain.pem, key.pem and root-cert.pem for mutual TLS')
    .option('--tls', 'reach the control plane by TLS (15012), with the certificate of --cert-dir')
    .option(
      '--root-cert <file>',
      "signs the control plane's certificate (root-cert.pem of --cert-dir)",
    );
}

function common({ node, xdsAddress, label, metadata, certDir }: Flags) {
  const [first, ...others] = inOrder(xdsAddress, node);
  const xds = { xdsHost: first?.host ?? '', xdsPort: first?.port ?? 0, otherXds: others };
  return { node, ...xds, labels: label, metadata, certDir };
}

function tlsOf(flags: EnvoyFlags | Flags): XdsTls | undefined {
  const { certDir, xdsAddress } = flags;
  const { tokenFile, serverName }: Partial<EnvoyFlags> = flags;
  if (flags.tls !== true && tokenFile === undefined) return undefined;
  const rootCertFile = flags.rootCert ?? (certDir === undefined ? undefined : rootsIn(certDir));
  if (rootCertFile === undefined) {
    throw new InvalidArgumentError('TLS needs --root-cert, or --cert-dir with root-cert.pem');
  }
  return {
    rootCertFile,
    tokenFile,
    certDir: tokenFile === undefined ? certDir : undefined,
    serverName: serverName ?? inOrder(xdsAddress, flags.node)[0]?.host ?? '',
  };
}

function rootsIn(certDir: string): string {
  return `${certDir}/root-cert.pem`;
}

function parseAddress(value: string, before: readonly Address[] = []): readonly Address[] {
  const colon = value.lastIndexOf(':');
  const host = value.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  const port = Number(value.slice(colon + 1));
  if (colon <= 0 || !Number.isInteger(port) || port < 1 || port > 65535) {
    throw new InvalidArgumentError(`${JSON.stringify(value)} must be HOST:PORT`);
  }
  return [...before, { host, port }];
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

/** It stands in a script. */
function parseTokenFile(value: string): string {
  if (!/^[^\p{Cc}]+$/u.test(value)) throw new InvalidArgumentError('must be the name of a file');
  return value;
}

function parsePort(value: string): number {
  const port = Number(value);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new InvalidArgumentError(`${JSON.stringify(value)} must be a port, 0 to 65535`);
  }
  return port;
}
