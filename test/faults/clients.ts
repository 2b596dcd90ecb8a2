/** Simulated proxies that stay connected, and what each holds beside what it is to hold. */
import { ClusterLoadAssignment } from '@watershed/proto/envoy/config/endpoint/v3/endpoint.ts';
import { AdsClient, cluster, endpoint, listener, route } from '../e2e/harness/ads.ts';
import { nodeId, type Protocol } from '../e2e/harness/proxy.ts';
import { namespace } from './churn.ts';

const backMs = 300;

export interface SteadyOptions {
  readonly name: string;
  readonly protocol: Protocol;
  /** Of the pushers: it stays with one, and goes to the next when that ends the stream. */
  readonly ports: () => readonly number[];
  /** With which of them it begins. */
  readonly first: number;
}

/** A sidecar of the namespace. */
export class SteadyClient {
  readonly name: string;
  readonly #options: SteadyOptions;
  readonly #ads: AdsClient;
  #at: number;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SteadyOptions) {
    const { name, protocol, first } = options;
    this.name = `${name} (${protocol})`;
    this.#options = options;
    this.#at = first;
    this.#ads = new AdsClient({
      ...{ port: 0, protocol },
      nodeId: nodeId({ type: 'sidecar', workload: `${name}-${protocol}.${namespace}` }),
      metadata: { NAMESPACE: namespace, LABELS: { app: 'client' }, CLUSTER_ID: 'Kubernetes' },
      onEnd: () => {
        this.#at += 1;
        this.#timer = setTimeout(() => this.connect(), backMs);
      },
    });
  }

  connect(): void {
    const ports = this.#options.ports();
    if (!this.#stopped) this.#ads.connect(ports[this.#at % ports.length]);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#ads.cut();
  }

  /** Service → ports of its workloads. */
  held(): ReadonlyMap<string, readonly number[]> {
    const found = new Map<string, readonly number[]>();
    for (const name of this.#ads.names(cluster)) {
      const service = serviceOf(name);
      if (service === undefined) continue;
      const body = this.#ads.body(endpoint, name);
      found.set(service, body === undefined ? [] : portsOf(body));
    }
    return found;
  }

  /** What differs from another client in the same place: names and bytes of all types. */
  differences(other: SteadyClient): readonly string[] {
    const found: string[] = [];
    for (const typeUrl of [cluster, endpoint, listener, route]) {
      const names = new Set([...this.#ads.names(typeUrl), ...other.#ads.names(typeUrl)]);
      for (const name of names) {
        const own = Buffer.from(this.#ads.body(typeUrl, name) ?? []);
        const theirs = Buffer.from(other.#ads.body(typeUrl, name) ?? []);
        if (!own.equals(theirs)) found.push(`${typeUrl.split('.').at(-1)} ${name}`);
      }
    }
    return found;
  }
}

const clusterName = /^outbound\|80\|\|([^.]+)\.edge\.svc\.cluster\.local$/u;

/** Of a cluster's name; `undefined`: not of the namespace. */
export function serviceOf(name: string): string | undefined {
  return clusterName.exec(name)?.[1];
}

function portsOf(body: Uint8Array): readonly number[] {
  const { endpoints } = ClusterLoadAssignment.decode(body);
  return endpoints.flatMap(({ lbEndpoints }) =>
    lbEndpoints.flatMap(({ hostIdentifier }) => {
      if (hostIdentifier?.$case !== 'endpoint') return [];
      const address = hostIdentifier.value.address?.address;
      if (address?.$case !== 'socketAddress') return [];
      const { portSpecifier } = address.value;
      return portSpecifier?.$case === 'portValue' ? [portSpecifier.value] : [];
    }),
  );
}

/** At most so many are named. */
const named = 3;

/** In words; empty when all is as it is to be. `held` may have the data plane's own service besides. */
export function wrong(
  expected: ReadonlyMap<string, number>,
  held: ReadonlyMap<string, readonly number[]>,
  besides: ReadonlySet<string>,
): readonly string[] {
  const lost = [...expected.keys()].filter((name) => !held.has(name));
  const risen = [...held.keys()].filter((name) => !expected.has(name) && !besides.has(name));
  const old = [...expected].filter(([name, port]) => {
    const ports = held.get(name);
    return ports !== undefined && !(ports.length === 1 && ports[0] === port);
  });
  const say = (what: string, names: readonly string[]): readonly string[] =>
    names.length === 0 ? [] : [`${names.length} ${what} (${names.slice(0, named).join(', ')})`];
  return [
    ...say('lost', lost),
    ...say('resurrected', risen),
    ...say(
      'with other endpoints',
      old.map(([name, port]) => `${name}: ${held.get(name)?.join('+')} for ${port}`),
    ),
  ];
}
