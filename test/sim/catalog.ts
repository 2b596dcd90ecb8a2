/**
 * What users have written: services of two tenants with their endpoints, rules and routes. Each
 * change has a number, its generation, which is in the object and so in what proxies are sent.
 */
import type { Source, Sink, UnitUpdate } from '@watershed/ingester/source.ts';
import type { Random } from './random.ts';

type Raw = UnitUpdate['objects'][number]['raw'];

export const tenants = ['red', 'blue'] as const;
export type Tenant = (typeof tenants)[number];

interface ServiceState {
  readonly tenant: Tenant;
  readonly name: string;
  readonly host: string;
  /** Nobody but its tenant may see it. */
  readonly isPrivate: boolean;
  isThere: boolean;
  /** Generations; `undefined`: it has none. */
  endpoints: number | undefined;
  policy: number | undefined;
  route: { readonly generation: number; readonly target: string } | undefined;
}

const servicesPerTenant = 4;

/** Private ones are told by their name, wherever it turns up. */
export function privateNames(tenant: Tenant): readonly string[] {
  return [`private-0.${tenant}.svc`, `private-1.${tenant}.svc`];
}

export class Catalog {
  readonly #services: readonly ServiceState[];
  #generation = 0;
  #access = 0;
  readonly #sources = new Set<SimSource>();

  constructor() {
    this.#services = tenants.flatMap((tenant) =>
      Array.from({ length: servicesPerTenant }, (_, at): ServiceState => {
        const isPrivate = at >= servicesPerTenant / 2;
        const name = isPrivate ? `private-${at - servicesPerTenant / 2}` : `public-${at}`;
        const host = `${name}.${tenant}.svc.cluster.local`;
        const nothing = { endpoints: undefined, policy: undefined, route: undefined };
        return { tenant, name, host, isPrivate, isThere: false, ...nothing };
      }),
    );
  }

  /** The newest change's. */
  get generation(): number {
    return this.#generation;
  }

  /** All that is there now, unit by unit. */
  units(): readonly UnitUpdate[] {
    return [this.#mesh(), ...this.#services.map((service) => this.#unit(service))];
  }

  attach(source: SimSource): void {
    this.#sources.add(source);
  }

  detach(source: SimSource): void {
    this.#sources.delete(source);
  }

  /** Says again what is there, as a resync does. */
  repeat(random: Random): void {
    this.#tell(this.#unit(random.pick(this.#services)));
  }

  /** Changes something; says what. */
  edit(random: Random): string {
    const generation = ++this.#generation;
    if (random.chance(0.03)) {
      this.#access = generation;
      this.#tell(this.#mesh());
      return `mesh ${generation}`;
    }
    const service = random.pick(this.#services);
    const did = this.#change(service, generation, random);
    this.#tell(this.#unit(service));
    return `${service.name}.${service.tenant} ${did} ${generation}`;
  }

  /** All services are there, with endpoints. */
  createAll(): void {
    const generation = ++this.#generation;
    for (const service of this.#services) {
      service.isThere = true;
      service.endpoints = generation;
      this.#tell(this.#unit(service));
    }
  }

  /** Changes the policy of a service. */
  changePolicy(random: Random): { readonly host: string; readonly generation: number } {
    const generation = ++this.#generation;
    const service = random.pick(this.#services);
    service.policy = generation;
    this.#tell(this.#unit(service));
    return { host: service.host, generation };
  }

  #change(service: ServiceState, generation: number, random: Random): string {
    if (!service.isThere) {
      service.isThere = true;
      service.endpoints = random.chance(0.8) ? generation : undefined;
      return 'is created';
    }
    const draw = random.below(12);
    if (draw < 5) {
      service.endpoints = generation;
      return 'has other endpoints';
    }
    if (draw < 7) {
      service.policy = generation;
      return 'has another policy';
    }
    if (draw < 10 || this.#isTarget(service)) {
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

  #target({ tenant, host }: ServiceState, random: Random): string {
    const known = this.#services.filter((other) => other.isThere && other.tenant === tenant);
    return random.chance(0.5) ? host : random.pick(known).host;
  }

  #tell(update: UnitUpdate): void {
    for (const source of this.#sources) source.update(update);
  }

  #mesh(): UnitUpdate {
    const mesh = JSON.stringify({ accessLogFile: `/dev/${this.#access}` });
    const metadata = { name: 'istio', namespace: 'istio-system' };
    return unitOf('mesh', this.#access, [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { mesh } },
    ]);
  }

  #unit(service: ServiceState): UnitUpdate {
    const objects: Raw[] = [];
    if (service.isThere) objects.push(serviceObject(service));
    if (service.endpoints !== undefined) objects.push(sliceObject(service, service.endpoints));
    if (service.policy !== undefined) objects.push(policyObject(service, service.policy));
    if (service.route !== undefined) objects.push(routeObject(service, service.route));
    return unitOf(`${service.tenant}/${service.name}`, this.#generation, objects);
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

function sliceObject({ name, tenant }: ServiceState, generation: number): Raw {
  const labels = { 'kubernetes.io/service-name': name };
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-1`, namespace: tenant, labels },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [
      { addresses: [`10.0.${generation >> 8}.${generation & 255}`], conditions: { ready: true } },
    ],
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

/** A source that is told what there is, and tells one ingester. */
export class SimSource implements Source {
  readonly name = 'simulated';
  readonly #catalog: Catalog;
  #sink: Sink | undefined;

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  async start(sink: Sink): Promise<void> {
    this.#sink = sink;
    this.#catalog.attach(this);
    sink.apply({ source: this.name, updates: this.#catalog.units(), unchanged: 0 });
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
