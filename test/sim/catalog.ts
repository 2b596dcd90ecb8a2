/**
 * What users have written, in two clusters: services of two tenants with their endpoints, rules and
 * routes. Each change has a number, its generation, which is in the object and so in what proxies
 * are sent.
 */
import type { Source, Sink, UnitUpdate } from '@watershed/ingester/source.ts';
import type { Random } from './random.ts';

type Raw = UnitUpdate['objects'][number]['raw'];

export const tenants = ['red', 'blue'] as const;
export type Tenant = (typeof tenants)[number];

/** Each has an ingester of its own. */
export const clusters = ['one', 'two'] as const;
export type ClusterName = (typeof clusters)[number];

/** Where a tenant's proxies are. */
export const homes: Readonly<Record<Tenant, ClusterName>> = { red: 'one', blue: 'two' };

interface ServiceState {
  readonly cluster: ClusterName;
  readonly tenant: Tenant;
  readonly name: string;
  readonly host: string;
  /** Nobody but its tenant may see it. */
  readonly isPrivate: boolean;
  /** More endpoints of a service of the first cluster, and nothing else. */
  readonly isNamesake: boolean;
  isThere: boolean;
  /** Nobody can read what is written of it. */
  isUnreadable: boolean;
  /** Generations; `undefined`: it has none. */
  endpoints: number | undefined;
  policy: number | undefined;
  route: { readonly generation: number; readonly target: string } | undefined;
}

const services: readonly Pick<ServiceState, 'cluster' | 'name' | 'isPrivate' | 'isNamesake'>[] = [
  { cluster: 'one', name: 'public-0', isPrivate: false, isNamesake: false },
  { cluster: 'one', name: 'public-1', isPrivate: false, isNamesake: false },
  { cluster: 'one', name: 'private-0', isPrivate: true, isNamesake: false },
  { cluster: 'one', name: 'private-1', isPrivate: true, isNamesake: false },
  { cluster: 'two', name: 'public-0', isPrivate: false, isNamesake: true },
  { cluster: 'two', name: 'public-2', isPrivate: false, isNamesake: false },
];

/** Private ones are told by their name, wherever it turns up. */
export function privateNames(tenant: Tenant): readonly string[] {
  return [`private-0.${tenant}.svc`, `private-1.${tenant}.svc`];
}

export class Catalog {
  readonly #services: readonly ServiceState[];
  #generation = 0;
  #access = 0;
  readonly #sources = new Set<SimSource>();
  /** Hosts of which something could not be read since `settled`. */
  readonly #spoilt = new Set<string>();

  constructor() {
    this.#services = tenants.flatMap((tenant) =>
      services.map((service): ServiceState => {
        const host = `${service.name}.${tenant}.svc.cluster.local`;
        const nothing = { endpoints: undefined, policy: undefined, route: undefined };
        return { ...service, tenant, host, isThere: false, isUnreadable: false, ...nothing };
      }),
    );
  }

  /** The newest change's. */
  get generation(): number {
    return this.#generation;
  }

  /** All that is there now in a cluster, unit by unit. */
  units(cluster: ClusterName): readonly UnitUpdate[] {
    const own = this.#services.filter((service) => service.cluster === cluster);
    return [this.#mesh(), ...own.map((service) => this.#unit(service))];
  }

  attach(source: SimSource): void {
    this.#sources.add(source);
  }

  detach(source: SimSource): void {
    this.#sources.delete(source);
  }

  /** Says again what is there, as a resync does. */
  repeat(random: Random): void {
    this.#tell(random.pick(this.#services));
  }

  /** What is written of a service cannot be read, until `mend`. */
  spoil(random: Random): void {
    const service = random.pick(this.#services);
    service.isUnreadable = true;
    this.#spoilt.add(service.host);
    this.#tell(service);
  }

  /** Whether users may have routed to it while nobody could read that it is there. */
  isSpoilt(host: string): boolean {
    return this.#spoilt.has(host);
  }

  /** All that was written has arrived. */
  settled(): void {
    this.#spoilt.clear();
  }

  mend(): void {
    for (const service of this.#services) {
      if (!service.isUnreadable) continue;
      service.isUnreadable = false;
      this.#tell(service);
    }
  }

  /** Changes something; says what. */
  edit(random: Random): string {
    const generation = ++this.#generation;
    if (random.chance(0.03)) {
      this.#access = generation;
      for (const source of this.#sources) source.update(this.#mesh());
      return `mesh ${generation}`;
    }
    const service = random.pick(this.#services);
    const did = this.#change(service, generation, random);
    this.#tell(service);
    return `${service.name}.${service.tenant} in ${service.cluster} ${did} ${generation}`;
  }

  /** All services are there, with endpoints. */
  createAll(): void {
    const generation = ++this.#generation;
    for (const service of this.#services) {
      service.isThere = true;
      service.endpoints = generation;
      this.#tell(service);
    }
  }

  /** Changes the policy of a service. */
  changePolicy(random: Random): { readonly host: string; readonly generation: number } {
    const generation = ++this.#generation;
    const service = random.pick(this.#services.filter(({ isNamesake }) => !isNamesake));
    service.policy = generation;
    this.#tell(service);
    return { host: service.host, generation };
  }

  #change(service: ServiceState, generation: number, random: Random): string {
    if (!service.isThere) {
      service.isThere = true;
      service.endpoints = random.chance(0.8) ? generation : undefined;
      return 'is created';
    }
    const draw = random.below(12);
    if (draw < 5 || (service.isNamesake && this.#isTarget(service))) {
      service.endpoints = generation;
      return 'has other endpoints';
    }
    if (draw < 7 && !service.isNamesake) {
      service.policy = generation;
      return 'has another policy';
    }
    if (!service.isNamesake && (draw < 10 || this.#isTarget(service))) {
      service.route = { generation, target: this.#target(service, random) };
      return `is routed to ${service.route.target}`;
    }
    if (service.route !== undefined) {
      service.route = undefined;
      return 'is routed no more';
    }
    service.isThere = false;
    service.endpoints = undefined;
    service.policy = undefined;
    return 'is deleted';
  }

  /** Users do not delete what they still route to. */
  #isTarget({ host }: ServiceState): boolean {
    return this.#services.some(({ route, host: own }) => route?.target === host && own !== host);
  }

  /** In its own cluster: of the others nobody knows when they are on the log. */
  #target({ cluster, tenant, host }: ServiceState, random: Random): string {
    const known = this.#services.filter(
      (other) => other.isThere && other.tenant === tenant && other.cluster === cluster,
    );
    return random.chance(0.5) ? host : random.pick(known).host;
  }

  #tell(service: ServiceState): void {
    for (const source of this.#sources) {
      if (source.cluster === service.cluster) source.update(this.#unit(service));
    }
  }

  #mesh(): UnitUpdate {
    const mesh = JSON.stringify({ accessLogFile: `/dev/${this.#access}` });
    const metadata = { name: 'istio', namespace: 'istio-system' };
    return unitOf('mesh', this.#access, [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { mesh } },
    ]);
  }

  #unit(service: ServiceState): UnitUpdate {
    const unit = `${service.tenant}/${service.name}`;
    if (service.isUnreadable) {
      const problems = [{ line: 1, reason: 'it cannot be read' }];
      return { unit, version: String(this.#generation), objects: [], problems };
    }
    const objects: Raw[] = [];
    if (service.isThere) objects.push(serviceObject(service));
    if (service.endpoints !== undefined) objects.push(sliceObject(service, service.endpoints));
    if (service.policy !== undefined) objects.push(policyObject(service, service.policy));
    if (service.route !== undefined) objects.push(routeObject(service, service.route));
    return unitOf(unit, this.#generation, objects);
  }
}

function unitOf(unit: string, generation: number, raws: readonly Raw[]): UnitUpdate {
  const objects = raws.map((raw) => ({ raw, line: 1 }));
  return { unit, version: String(generation), objects, problems: [] };
}

function serviceObject({ name, tenant, isPrivate }: ServiceState): Raw {
  const annotations = { 'networking.istio.io/exportTo': isPrivate ? '.' : '*' };
  const metadata = { name, namespace: tenant, annotations };
  const ports = [{ name: 'http', port: 80, targetPort: 8080 }];
  return { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports } };
}

function sliceObject({ cluster, name, tenant }: ServiceState, generation: number): Raw {
  const address = `10.${clusters.indexOf(cluster)}.${generation >> 8}.${generation & 255}`;
  const labels = { 'kubernetes.io/service-name': name };
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-1`, namespace: tenant, labels },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
  };
}

function policyObject({ name, tenant, host, isPrivate }: ServiceState, generation: number): Raw {
  const http = { http2MaxRequests: generation };
  const exportTo = [isPrivate ? '.' : '*'];
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name, namespace: tenant },
    spec: { host, exportTo, trafficPolicy: { connectionPool: { http } } },
  };
}

function routeObject(
  { name, tenant, host }: ServiceState,
  { generation, target }: { readonly generation: number; readonly target: string },
): Raw {
  const headers = { request: { set: { 'x-generation': String(generation) } } };
  const destination = { host: target, port: { number: 80 } };
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name, namespace: tenant },
    // Of a private target nobody else may hear.
    spec: { hosts: [host], exportTo: ['.'], http: [{ headers, route: [{ destination }] }] },
  };
}

/** A source that is told what there is in its cluster, and tells one ingester. */
export class SimSource implements Source {
  readonly name = 'simulated';
  readonly cluster: ClusterName;
  readonly #catalog: Catalog;
  #sink: Sink | undefined;

  constructor(catalog: Catalog, cluster: ClusterName) {
    this.#catalog = catalog;
    this.cluster = cluster;
  }

  async start(sink: Sink): Promise<void> {
    this.#sink = sink;
    this.#catalog.attach(this);
    sink.apply({ source: this.name, updates: this.#catalog.units(this.cluster), unchanged: 0 });
  }

  async stop(): Promise<void> {
    this.cut();
  }

  /** Its process is dead, or done. */
  cut(): void {
    this.#sink = undefined;
    this.#catalog.detach(this);
  }

  update(update: UnitUpdate): void {
    this.#sink?.apply({ source: this.name, updates: [update], unchanged: 0 });
  }
}
