/**
 * The mesh of the benchmark as files: what changes is in files of its own, so that a change parses
 * one object.
 */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface MeshSize {
  readonly services: number;
  readonly endpoints: number;
  readonly namespaces: number;
}

type Json = Readonly<Record<string, unknown>>;

/** Objects; larger files are refused. */
const perFile = 1_000;

export class MeshFiles {
  readonly #dir: string;
  readonly #size: MeshSize;

  constructor(dir: string, size: MeshSize) {
    this.#dir = dir;
    this.#size = size;
  }

  namespaceOf(service: number): string {
    return `ns-${service % this.#size.namespaces}`;
  }

  /**
   * All services and slices, many in a file; slices that will change in files of their own.
   */
  async writeAll(changing: readonly number[]): Promise<void> {
    await mkdir(this.#dir, { recursive: true });
    const all = Array.from({ length: this.#size.services }, (_, i) => i);
    for (let at = 0; at < all.length; at += perFile) {
      const some = all.slice(at, at + perFile);
      await this.#write(`services-${at}`, list(some.map((i) => this.#service(i))));
      const still = some.filter((i) => !changing.includes(i));
      await this.#write(`slices-${at}`, list(still.map((i) => this.#slice(i, 0))));
    }
    for (const i of changing) await this.writeEndpoints(i, 0);
  }

  /** @param generation shifts the address of the first endpoint */
  async writeEndpoints(service: number, generation: number): Promise<void> {
    await this.#write(`slice-${service}`, this.#slice(service, generation));
  }

  #service(i: number): Json {
    return {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: `svc-${i}`, namespace: this.namespaceOf(i) },
      spec: {
        clusterIP: `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`,
        selector: { app: `svc-${i}` },
        ports: [{ name: 'http', port: 80, targetPort: 8080 }],
      },
    };
  }

  #slice(service: number, generation: number): Json {
    const endpoints = Array.from({ length: this.#size.endpoints }, (_, e) => {
      const n = service * this.#size.endpoints + e + (e === 0 ? generation * 7_000_000 : 0);
      return {
        addresses: [`11.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`],
        conditions: { ready: true },
      };
    });
    return {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: `svc-${service}-abc`,
        namespace: this.namespaceOf(service),
        labels: { 'kubernetes.io/service-name': `svc-${service}` },
      },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints,
    };
  }

  async writeRoute(service: number, value: string): Promise<void> {
    const host = `svc-${service}.${this.namespaceOf(service)}.svc.cluster.local`;
    await this.#write('route', {
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: 'route', namespace: this.namespaceOf(service) },
      spec: {
        hosts: [host],
        http: [
          {
            headers: { request: { set: { 'x-bench': value } } },
            route: [{ destination: { host, port: { number: 80 } } }],
          },
        ],
      },
    });
  }

  /** @param host `*.local` changes every cluster */
  async writePolicy(
    name: string,
    namespace: string,
    host: string,
    maxRequests: number,
  ): Promise<void> {
    await this.#write(name, {
      apiVersion: 'networking.istio.io/v1',
      kind: 'DestinationRule',
      metadata: { name, namespace },
      spec: {
        host,
        trafficPolicy: { connectionPool: { http: { http2MaxRequests: maxRequests } } },
      },
    });
  }

  async writeMesh(accessLogFile: string): Promise<void> {
    await this.#write('mesh', {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'istio', namespace: 'istio-system' },
      data: { mesh: JSON.stringify({ accessLogFile }) },
    });
  }

  /** A reader sees the old file or the new one, never half of it. */
  async #write(name: string, object: Json): Promise<void> {
    const path = join(this.#dir, `${name}.json`);
    await writeFile(`${path}.tmp`, JSON.stringify(object));
    await rename(`${path}.tmp`, path);
  }
}

function list(items: readonly Json[]): Json {
  return { apiVersion: 'v1', kind: 'List', items };
}
