import { startTestEnvoy, type TestEnvoy } from '../../components/envoy.ts';
import { xdsctl } from './xdsctl.ts';

/** Both of xDS's ways: whatever holds for one must hold for the other. */
export const protocols = ['sotw', 'delta'] as const;
export type Protocol = (typeof protocols)[number];

export interface ProxyOptions {
  readonly type: 'router' | 'sidecar';
  /** `POD.NAMESPACE` */
  readonly workload: string;
  readonly protocol: Protocol;
  readonly xds: { readonly host: string; readonly port: number };
  readonly labels?: Readonly<Record<string, string>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly certDir?: string;
  /** More flags of `xdsctl bootstrap envoy`. */
  readonly flags?: readonly string[];
  readonly componentLogLevel?: string;
  /** `undefined`: the Envoy that everything else is tested with. */
  readonly version?: string | undefined;
  /** Default true. False: it may wait for what the test is yet to write. */
  readonly waitReady?: boolean;
}

export function nodeId({ type, workload }: Pick<ProxyOptions, 'type' | 'workload'>): string {
  const namespace = workload.slice(workload.lastIndexOf('.') + 1);
  return `${type}~127.0.0.1~${workload}~${namespace}.svc.cluster.local`;
}

/** A real Envoy with the bootstrap that `xdsctl bootstrap envoy` prints. */
export async function startProxy(options: ProxyOptions): Promise<TestEnvoy> {
  const { xds, labels = {}, metadata, certDir, protocol, componentLogLevel, version } = options;
  const bootstrap = await xdsctl(
    ...['bootstrap', 'envoy', '--node', nodeId(options), '--admin-port', '0'],
    ...['--xds-address', `${xds.host}:${xds.port}`],
    ...(protocol === 'delta' ? ['--delta'] : []),
    ...Object.entries(labels).flatMap(([key, value]) => ['--label', `${key}=${value}`]),
    ...(metadata === undefined ? [] : ['--metadata', JSON.stringify(metadata)]),
    ...(certDir === undefined ? [] : ['--cert-dir', certDir]),
    ...(options.flags ?? []),
  );
  const proxy = await startTestEnvoy({
    bootstrap,
    ...(componentLogLevel === undefined ? {} : { componentLogLevel }),
    ...(version === undefined ? {} : { version }),
  });
  try {
    if (options.waitReady !== false) await proxy.envoy.waitReady();
    return proxy;
  } catch (error) {
    await proxy.stop();
    throw error;
  }
}

/** A gateway that has its protocol as the label `edge`. */
export function startEdge(
  protocol: Protocol,
  of: Pick<ProxyOptions, 'xds' | 'labels'> & { readonly namespace: string },
): Promise<TestEnvoy> {
  const { xds, labels, namespace } = of;
  const workload = `gateway-${protocol}.${namespace}`;
  return startProxy({
    ...{ type: 'router', workload, protocol, xds },
    labels: { edge: protocol, ...labels },
  });
}

/** How often it refused what it was sent. */
export async function rejections({ envoy }: TestEnvoy): Promise<number> {
  let sum = 0;
  for (const [name, value] of await envoy.admin.stats('update_rejected$')) {
    if (name.endsWith('update_rejected')) sum += value;
  }
  return sum;
}

/**
 * Warnings that speak of configuration. Envoy also warns of what a test does on purpose: a control
 * plane that is killed.
 */
export async function configWarnings({ envoy }: TestEnvoy): Promise<readonly string[]> {
  const onPurpose =
    /StreamAggregatedResources|DeltaAggregatedResources|gRPC config stream|grpc_stream\.h/u;
  return (await envoy.warnings()).filter((line) => !onPurpose.test(line));
}
